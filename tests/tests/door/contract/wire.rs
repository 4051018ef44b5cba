//! Any RPC of the contract by its name, with its request as JSON: what no typed client could be written for.
//!
//! On the wire a single request is a stream of one, so one way of calling serves all.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Buf, BufMut};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(parlance_proto::DESCRIPTOR_SET).expect("the contract describes itself")
});

/// The method of a path such as `/parlance.v1.AgentService/GetAgent`.
pub fn method(path: &str) -> MethodDescriptor {
    let (service, name) = path.trim_start_matches('/').split_once('/').expect("a path has two parts");
    let service = POOL.get_service_by_name(service).expect("the contract has the service");
    service.methods().find(|method| method.name() == name).expect("the service has the method")
}

/// A client with a key, or with none.
#[derive(Clone)]
pub struct Door {
    channel: Channel,
    key: Option<String>,
}

impl Door {
    pub async fn open(url: &str, key: Option<&str>) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("the address is one");
        let channel = endpoint.connect().await.expect("the engine answers");
        Self { channel, key: key.map(str::to_owned) }
    }

    /// The same connection with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// Sends these requests and gives the first answer, or the refusal.
    pub async fn call(&self, path: &str, requests: &[Value]) -> Result<Value, Status> {
        let descriptor = method(path);
        let messages: Vec<DynamicMessage> =
            requests.iter().map(|request| message(descriptor.input(), request)).collect();
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.expect("the connection is there");
        // It stays open behind its messages: a session would end with it.
        let stream = tokio_stream::StreamExt::chain(tokio_stream::iter(messages), Kept::of(&descriptor));
        let mut request = Request::new(stream);
        if let Some(key) = &self.key {
            let bearer: MetadataValue<_> = format!("Bearer {key}").parse().expect("a key is plain text");
            request.metadata_mut().insert("authorization", bearer);
        }
        let path = path.parse().expect("a method's path is one");
        let answer = async {
            let mut answers = client.streaming(request, path, Wire(descriptor)).await?.into_inner();
            answers.message().await
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))?;
        Ok(answer.map_or(Value::Null, |answer| {
            serde_json::to_value(&answer).expect("every message has a JSON form")
        }))
    }
}

fn message(descriptor: MessageDescriptor, json: &Value) -> DynamicMessage {
    let name = descriptor.full_name().to_owned();
    DynamicMessage::deserialize(descriptor, json)
        .unwrap_or_else(|error| panic!("no {name}: {error} in {json}"))
}

/// Ends at once for a single request, never for a stream of them.
struct Kept {
    open: bool,
}

impl Kept {
    fn of(method: &MethodDescriptor) -> Self {
        Self { open: method.is_client_streaming() }
    }
}

impl tokio_stream::Stream for Kept {
    type Item = DynamicMessage;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<DynamicMessage>> {
        if self.open { std::task::Poll::Pending } else { std::task::Poll::Ready(None) }
    }
}

struct Wire(MethodDescriptor);

impl Codec for Wire {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Out;
    type Decoder = In;

    fn encoder(&mut self) -> Out {
        Out
    }

    fn decoder(&mut self) -> In {
        In(self.0.output())
    }
}

struct Out;

impl Encoder for Out {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message.encode_to_vec());
        Ok(())
    }
}

struct In(MessageDescriptor);

impl Decoder for In {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        DynamicMessage::decode(self.0.clone(), bytes)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
