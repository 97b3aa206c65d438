//! Build script of the two packages that link libtorch: `pointstream-inference` and the program
//! `pointstream`. The other packages build without libtorch.
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
    // Not resolved: `.libtorch` may be a symbolic link, and its target may change without a
    // rebuild.
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
