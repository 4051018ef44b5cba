//! A network that fails: a TCP relay in front of an engine that can reset its connections or swallow everything.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    Silent,
    Reset,
}

/// A relay to one engine.
pub struct Proxy {
    /// Where to connect instead.
    pub address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
}

impl Proxy {
    /// A relay to `engine` on a port of its own.
    ///
    /// # Panics
    /// When this machine has no free port.
    pub async fn to(engine: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let weather = Arc::new(watch::Sender::new(Weather::Fine));
        let sender = weather.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(engine).await else { continue };
                tokio::spawn(relay(client, server, sender.subscribe()));
            }
        });
        Self { address, weather }
    }

    /// From now on nothing comes through in either direction, and nobody is told.
    pub fn falls_silent(&self) {
        self.weather.send_replace(Weather::Silent);
    }

    /// New connections pass again.
    pub fn recovers(&self) {
        self.weather.send_replace(Weather::Fine);
    }

    /// Resets every connection, as the system of a killed process does.
    pub fn resets(&self) {
        self.weather.send_replace(Weather::Reset);
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, mut weather: watch::Receiver<Weather>) {
    let (mut up, mut down) = ([0; 16_384], [0; 16_384]);
    loop {
        let now = *weather.borrow_and_update();
        match now {
            Weather::Fine => {}
            Weather::Silent => {
                if weather.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Weather::Reset => {
                for stream in [client, server] {
                    stream.set_zero_linger().expect("an open socket takes the option");
                }
                return;
            }
        }
        let passed = tokio::select! {
            read = client.read(&mut up) => pass(read, &up, &mut server).await,
            read = server.read(&mut down) => pass(read, &down, &mut client).await,
            changed = weather.changed() => changed.is_ok(),
        };
        if !passed {
            return;
        }
    }
}

async fn pass(read: std::io::Result<usize>, bytes: &[u8], to: &mut TcpStream) -> bool {
    match read {
        Ok(count) if count > 0 => to.write_all(&bytes[..count]).await.is_ok(),
        _ => false,
    }
}
