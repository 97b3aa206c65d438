//! Shared build script of every package that links libtorch.
//!
//! Writes the directory of libtorch into the run path of binaries and tests, so that they start
//! without `LD_LIBRARY_PATH`.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let Ok(root) = env::var("LIBTORCH") else {
        println!("cargo::error=LIBTORCH is not set; run `make setup` in the repository first");
        return;
    };
    // The link itself, not its target: a new virtual environment behind it needs no rebuild.
    let libraries = Path::new(&root).join("lib");
    if !libraries.is_dir() {
        println!(
            "cargo::error=no libtorch in {}; run `make setup` in the repository first",
            libraries.display()
        );
        return;
    }
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", libraries.display());
}
