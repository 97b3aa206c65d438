//! Calls of the CUDA runtime that comes with libtorch's CUDA part.
//!
//! The program does not link the runtime, so that it starts on machines without it. Functions are
//! looked up by name after libtorch has loaded the runtime.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::ptr;

use thiserror::Error;

/// `cudaSuccess`.
const SUCCESS: c_int = 0;
/// `cudaEventBlockingSync` (a waiting thread sleeps) and `cudaEventDisableTiming`.
const EVENT_FLAGS: c_uint = 1 | 2;

/// A call of the CUDA runtime failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CudaError {
    /// libtorch has not loaded the runtime.
    #[error("the CUDA runtime is not loaded")]
    NotLoaded,
    /// The call returned an error.
    #[error("{function}: {message}")]
    Failed {
        function: &'static str,
        /// The runtime's message.
        message: String,
    },
}

/// Free memory of a GPU in bytes, according to the driver. Makes the GPU current on this thread.
pub(crate) fn free_memory(index: usize) -> Result<u64, CudaError> {
    type MemGetInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> c_int;
    set_device(index)?;
    let (mut free, mut total) = (0, 0);
    // SAFETY: the documented signature; both pointers are valid for the call.
    let code = unsafe {
        let mem_get_info: MemGetInfo = function(c"cudaMemGetInfo")?;
        mem_get_info(&raw mut free, &raw mut total)
    };
    check("cudaMemGetInfo", code)?;
    Ok(free as u64)
}

/// A CUDA event: a point in the work queue of a GPU.
#[derive(Debug)]
pub(crate) struct Event(*mut c_void);

impl Event {
    /// The point after all work that this thread has queued on a GPU.
    ///
    /// libtorch queues work on the default stream unless a thread chooses another; no thread does.
    pub(crate) fn after_queued_work(index: usize) -> Result<Self, CudaError> {
        type Create = unsafe extern "C" fn(*mut *mut c_void, c_uint) -> c_int;
        type Record = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
        set_device(index)?;
        let mut event = Self(ptr::null_mut());
        // SAFETY: the documented signatures; the pointer is valid for the call, and the event has
        // just been made. The null stream is the default one.
        unsafe {
            let create: Create = function(c"cudaEventCreateWithFlags")?;
            let record: Record = function(c"cudaEventRecord")?;
            let code = create(&raw mut event.0, EVENT_FLAGS);
            check("cudaEventCreateWithFlags", code)?;
            check("cudaEventRecord", record(event.0, ptr::null_mut()))?;
        }
        Ok(event)
    }

    /// Waits until the GPU has reached this point. Returns the errors of earlier work, too.
    pub(crate) fn wait(&self) -> Result<(), CudaError> {
        type Synchronize = unsafe extern "C" fn(*mut c_void) -> c_int;
        // SAFETY: the documented signature; the event lives as long as this value.
        let code = unsafe {
            let synchronize: Synchronize = function(c"cudaEventSynchronize")?;
            synchronize(self.0)
        };
        check("cudaEventSynchronize", code)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        type Destroy = unsafe extern "C" fn(*mut c_void) -> c_int;
        if self.0.is_null() {
            return;
        }
        // SAFETY: the documented signature; the event is not used afterwards.
        unsafe {
            if let Ok(destroy) = function::<Destroy>(c"cudaEventDestroy") {
                destroy(self.0);
            }
        }
    }
}

fn set_device(index: usize) -> Result<(), CudaError> {
    type SetDevice = unsafe extern "C" fn(c_int) -> c_int;
    // The runtime refuses an index that is too large.
    let index = c_int::try_from(index).unwrap_or(c_int::MAX);
    // SAFETY: the documented signature.
    let code = unsafe {
        let set_device: SetDevice = function(c"cudaSetDevice")?;
        set_device(index)
    };
    check("cudaSetDevice", code)
}

fn check(function_name: &'static str, code: c_int) -> Result<(), CudaError> {
    type ErrorString = unsafe extern "C" fn(c_int) -> *const std::ffi::c_char;
    if code == SUCCESS {
        return Ok(());
    }
    // SAFETY: the documented signature; the returned string is static.
    let message = unsafe {
        match function::<ErrorString>(c"cudaGetErrorString") {
            Ok(error_string) => CStr::from_ptr(error_string(code))
                .to_string_lossy()
                .into_owned(),
            Err(_) => format!("error {code}"),
        }
    };
    Err(CudaError::Failed {
        function: function_name,
        message,
    })
}

/// Looks up a function of the runtime.
///
/// # Safety
/// `F` must be a function pointer with the function's signature.
unsafe fn function<F: Copy>(name: &CStr) -> Result<F, CudaError> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the name is a C string; the default handle searches all libraries that are loaded.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if found.is_null() {
        return Err(CudaError::NotLoaded);
    }
    // SAFETY: both are pointers; the caller guarantees the signature.
    Ok(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&found) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_message_of_the_runtime() {
        // SAFETY: it is not called.
        let found = unsafe { function::<unsafe extern "C" fn()>(c"cudaMemGetInfo") };
        let answers = [
            free_memory(0).map(drop),
            Event::after_queued_work(0).and_then(|event| event.wait()),
        ];
        for answer in answers {
            match answer {
                Err(CudaError::NotLoaded) => assert!(found.is_err()),
                Err(CudaError::Failed { message, .. }) => {
                    assert!(found.is_ok());
                    assert!(message.contains(' '), "a readable message: {message}");
                }
                Ok(()) => assert!(found.is_ok()),
            }
        }
    }
}
