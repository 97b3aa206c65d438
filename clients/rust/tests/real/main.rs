//! The client with the real program, if `POINTSTREAM_TEST_BINARY` names it.

mod calls;
mod losses;
mod program;
mod trust;
