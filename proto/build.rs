//! Compiles the protos in pure Rust: no protoc needed. The descriptor set keeps comments and options,
//! so that reflection and `sdk-gen` see all of them.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 5] = [
    "parlance/v1/agent_service.proto",
    "parlance/v1/appointment_service.proto",
    "parlance/v1/call_service.proto",
    "parlance/v1/phone_number_service.proto",
    "parlance/v1/voice_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=parlance");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Encoded by protox: prost's own set drops unknown extensions.
    fs::write(out.join("parlance.binpb"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().bytes(".").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
