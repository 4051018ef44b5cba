//! Compiles the protos in pure Rust: no protoc needed. The descriptor set keeps comments and options,
//! so that reflection and `sdk-gen` see all of them. What the options say of each RPC becomes a table.

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};

/// Messages with a secret: `src/secrets.rs` shows them without it.
const SECRETS: [&str; 4] = [
    ".parlance.v1.CreateApiKeyResponse",
    ".parlance.v1.CreateOrganisationResponse",
    ".parlance.v1.SetProviderKeyRequest",
    ".parlance.v1.SetToolSecretRequest",
];

const FILES: &[&str] = &[
    "parlance/v1/agent_service.proto",
    "parlance/v1/api_key_service.proto",
    "parlance/v1/appointment_service.proto",
    "parlance/v1/audit_service.proto",
    "parlance/v1/call_service.proto",
    "parlance/v1/organisation_service.proto",
    "parlance/v1/phone_number_service.proto",
    "parlance/v1/provider_service.proto",
    "parlance/v1/resource_service.proto",
    "parlance/v1/tool_secret_service.proto",
    "parlance/v1/voice_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=parlance");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Encoded by protox: prost's own set drops unknown extensions.
    let set = compiler.encode_file_descriptor_set();
    fs::write(out.join("methods.rs"), methods(&DescriptorPool::decode(set.as_slice())?)?)?;
    fs::write(out.join("parlance.binpb"), set)?;
    // Ordered maps, so that equal messages are encoded equally: repeated requests are known by their bytes.
    let generated = tonic_prost_build::configure().bytes(".").btree_map(".").skip_debug(SECRETS);
    generated.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// The table of RPCs as Rust.
fn methods(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let extension = pool.get_extension_by_name("parlance.v1.rpc").ok_or("options.proto has no `rpc`")?;
    let mut table = String::from(
        "/// Every RPC of the contract, as its options describe it.\npub const METHODS: &[Method] = &[\n",
    );
    for service in pool.services() {
        for method in service.methods() {
            let options = method.options();
            let options = options.get_extension(&extension);
            let options = options.as_message().ok_or("`rpc` is a message")?;
            row(&mut table, &method, options)?;
        }
    }
    table.push_str("];\n");
    Ok(table)
}

fn row(
    table: &mut String,
    method: &MethodDescriptor,
    options: &DynamicMessage,
) -> Result<(), Box<dyn Error>> {
    let scope =
        options.get_field_by_name("scope").and_then(|scope| scope.as_enum_number()).unwrap_or_default();
    if scope == 0 {
        return Err(format!("{} names no scope: `option (rpc) = {{scope: …}}`", method.full_name()).into());
    }
    let reasons = options.get_field_by_name("reasons");
    let reasons = reasons.as_deref().and_then(Value::as_list).unwrap_or_default();
    let reasons: Vec<i32> = reasons.iter().filter_map(Value::as_enum_number).collect();
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mutates = method.input().get_field_by_name("request_id").is_some();
    writeln!(
        table,
        "    Method {{ path: {path:?}, scope: {scope}, mutates: {mutates}, reasons: &{reasons:?} }},"
    )?;
    Ok(())
}
