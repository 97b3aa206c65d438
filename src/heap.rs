//! Keeps the heap of glibc as small as what it holds. Other libraries need nothing of this.

/// Lets the threads share the heap, unless the operator set how. Call it before other threads start.
///
/// By default each of many threads gets an arena of its own. Large buffers of images and points come
/// from changing threads, so every arena grows to hold the largest of them, and keeps that.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn limit_arenas() {
    const ARENAS: libc::c_int = 2;
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        // SAFETY: it takes no pointers. It fails only for parameters that glibc does not know.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
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
