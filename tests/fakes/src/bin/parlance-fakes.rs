//! The stand-ins as a program: `parlance-fakes --port 9900`, planned by flags or `POST /control/plan`.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Parser;
use parlance_fakes::Fakes;

/// Stand-ins for Deepgram, OpenAI, ElevenLabs, Gemini, Anthropic and Cartesia on one loopback port.
#[derive(Parser)]
struct Flags {
    /// Port; 0 takes a free one. The address is printed.
    #[arg(long, default_value_t = 9900)]
    port: u16,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let flags = Flags::parse();
    let fakes = Fakes::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, flags.port))).await?;
    println!("{}", fakes.address());
    tokio::signal::ctrl_c().await
}
