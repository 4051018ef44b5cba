//! Rebuilds the crate when a migration changes: they are embedded, and Cargo does not see the macro read them.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
