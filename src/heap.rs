//! Keeps the heap as small as what it holds.

use std::alloc::{GlobalAlloc, Layout, System};

/// Smallest buffer in bytes that is not on the heap.
const LARGE_BUFFER: usize = 4 << 20;
/// Largest alignment in bytes that every mapping has.
const LEAST_PAGE: usize = 4 << 10;

/// The system's allocator, and for large buffers, such as decoded photos and clouds, memory of their own in
/// large pages.
///
/// The heap keeps what is freed for a while, in each of its arenas. Memory of their own is given back at
/// once, and is new each time; with large pages the system clears and maps it in few pieces.
pub struct Allocator;

// SAFETY: small buffers are those of the system's allocator, under the same conditions. Large ones are
// mappings, told apart by their layout, which is the same when they are given back.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_large(layout) {
            true => map(layout.size()),
            // SAFETY: the caller keeps the conditions, which are the same.
            false => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match is_large(layout) {
            // The system clears it.
            true => map(layout.size()),
            // SAFETY: as above.
            false => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size, rounded up to the alignment, does not overflow.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_large(layout), is_large(new)) {
            // SAFETY: as above.
            (false, false) => unsafe { System.realloc(pointer, layout, size) },
            // SAFETY: it is a mapping of this size.
            (true, true) => unsafe { remap(pointer, layout.size(), size) },
            // SAFETY: both buffers have at least as many bytes as are copied, and are different ones.
            _ => unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(pointer, size.min(layout.size()));
                    self.dealloc(pointer, layout);
                }
                moved
            },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match is_large(layout) {
            // SAFETY: it is a mapping of this size, and nobody uses it any more.
            true => unsafe { unmap(pointer, layout.size()) },
            // SAFETY: as above.
            false => unsafe { System.dealloc(pointer, layout) },
        }
    }
}

#[cfg(target_os = "linux")]
fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE_BUFFER && layout.align() <= LEAST_PAGE
}

#[cfg(not(target_os = "linux"))]
fn is_large(_: Layout) -> bool {
    false
}

/// New memory, cleared; null if there is none.
fn map(size: usize) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: it takes no memory that is in use.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
    mapped(memory, size)
}

/// # Safety
/// `pointer` must be that of a mapping of `size` bytes. It is no longer valid, unless the result is null.
#[cfg(target_os = "linux")]
unsafe fn remap(pointer: *mut u8, size: usize, wanted: usize) -> *mut u8 {
    // SAFETY: the caller keeps the condition.
    let memory = unsafe { libc::mremap(pointer.cast(), size, wanted, libc::MREMAP_MAYMOVE) };
    mapped(memory, wanted)
}

#[cfg(not(target_os = "linux"))]
unsafe fn remap(_: *mut u8, _: usize, _: usize) -> *mut u8 {
    std::ptr::null_mut()
}

/// # Safety
/// `pointer` must be that of a mapping of `size` bytes that nobody uses any more.
unsafe fn unmap(pointer: *mut u8, size: usize) {
    // SAFETY: the caller keeps the condition. It fails only for an address that is none.
    unsafe { libc::munmap(pointer.cast(), size) };
}

/// Asks for large pages. Null if there is no memory.
fn mapped(memory: *mut libc::c_void, size: usize) -> *mut u8 {
    if memory == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    // SAFETY: it is a mapping of this size, and the advice does not change what is in it. Without large
    // pages everything works, more slowly.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::madvise(memory, size, libc::MADV_HUGEPAGE)
    };
    memory.cast()
}

/// Lets the threads share the heap, unless the operator set how. Call it before other threads start.
///
/// By default each of many threads gets an arena of its own, and every arena grows to hold the largest
/// buffers of any thread, and keeps that. With fewer than two arenas for each core, threads that compute
/// wait for each other.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn limit_arenas() {
    const ARENAS_OF_CORE: usize = 2;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let arenas =
        libc::c_int::try_from(cores.saturating_mul(ARENAS_OF_CORE)).unwrap_or(libc::c_int::MAX);
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        // SAFETY: it takes no pointers. It fails only for parameters that glibc does not know.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
    }
}

/// Gives freed memory back to the system now and then. By itself glibc keeps what is free below
/// something that is in use, so that the memory of a long session would grow although nothing is held.
///
/// # Errors
/// If no thread can be started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn trim_regularly() -> std::io::Result<()> {
    const PERIOD: std::time::Duration = std::time::Duration::from_secs(10);
    let trim = || {
        loop {
            std::thread::sleep(PERIOD);
            // SAFETY: it takes no pointers, and any thread may call it.
            unsafe { libc::malloc_trim(0) };
        }
    };
    std::thread::Builder::new()
        .name("heap".to_owned())
        .spawn(trim)
        .map(drop)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn limit_arenas() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn trim_regularly() -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_keep_their_content_when_they_become_large_or_small() {
        let byte = |index: usize| (index % 251) as u8;
        for sizes in [
            [
                LARGE_BUFFER - 1,
                LARGE_BUFFER,
                9 * LARGE_BUFFER + 1,
                LARGE_BUFFER,
            ],
            [3 * LARGE_BUFFER, LARGE_BUFFER / 2, 2 * LARGE_BUFFER, 10],
        ] {
            let mut layout = Layout::from_size_align(1, 16).expect("valid");
            // SAFETY: each layout is that of the buffer before it is changed, and only bytes within it are used.
            unsafe {
                let mut pointer = Allocator.alloc(layout);
                for size in sizes {
                    let kept = layout.size().min(size);
                    let old = std::slice::from_raw_parts_mut(pointer, layout.size());
                    old.iter_mut()
                        .enumerate()
                        .for_each(|(index, place)| *place = byte(index));
                    pointer = Allocator.realloc(pointer, layout, size);
                    assert!(!pointer.is_null() && pointer.align_offset(16) == 0);
                    layout = Layout::from_size_align(size, 16).expect("valid");
                    let new = std::slice::from_raw_parts(pointer, kept);
                    assert!(
                        new.iter()
                            .enumerate()
                            .all(|(index, found)| *found == byte(index))
                    );
                }
                Allocator.dealloc(pointer, layout);
            }
        }
    }

    #[test]
    fn cleared_buffers_are_clear() {
        for size in [1000, LARGE_BUFFER, 5 * LARGE_BUFFER + 3] {
            let layout = Layout::from_size_align(size, 8).expect("valid");
            // SAFETY: the buffer has this layout, and its bytes are clear.
            unsafe {
                for _ in 0..2 {
                    let pointer = Allocator.alloc_zeroed(layout);
                    let bytes = std::slice::from_raw_parts_mut(pointer, size);
                    assert!(bytes.iter().all(|byte| *byte == 0));
                    bytes.fill(1);
                    Allocator.dealloc(pointer, layout);
                }
            }
        }
    }

    #[test]
    fn what_there_cannot_be_is_refused() {
        let layout = Layout::from_size_align(isize::MAX as usize & !4095, 8).expect("valid");
        // SAFETY: nothing is used of it.
        assert!(unsafe { Allocator.alloc(layout) }.is_null());
    }
}
