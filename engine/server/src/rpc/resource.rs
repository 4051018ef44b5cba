//! `ResourceService`: creates, reads, changes and deletes what appointments are booked on.

mod list;

use std::sync::Arc;

use parlance_proto::v1;
use parlance_proto::v1::resource_service_server::ResourceService;
use parlance_store::resources::{self, Deletion, NewResource, ResourceKind, ResourceState, ResourceUpdate};
use parlance_store::{Error as StoreError, ResourceId, Scope};
use tonic::{Request, Response, Status};

use super::perform::{Done, perform};
use super::{auth, name, page};
use crate::convert::resource as convert;
use crate::engine::Engine;
use crate::status::{Refusal, Violations};

const NAME_MAX: usize = 200;
const ORDER_MAX: i32 = 1_000_000;

/// The service.
pub struct Resources {
    engine: Arc<Engine>,
}

impl Resources {
    /// Resources are kept by `engine`'s store.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl ResourceService for Resources {
    async fn create_resource(
        &self,
        request: Request<v1::CreateResourceRequest>,
    ) -> Result<Response<v1::CreateResourceResponse>, Status> {
        perform(&self.engine, request, |scope, request| async move {
            let made = create(&scope, request).await?;
            let name = made.name.clone();
            Ok(Done::new(name, v1::CreateResourceResponse { resource: Some(made) }))
        })
        .await
    }

    async fn get_resource(
        &self,
        request: Request<v1::GetResourceRequest>,
    ) -> Result<Response<v1::GetResourceResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let id = name::resource("name", &request.get_ref().name)?;
        let row = resources::get(&scope, id).await.map_err(|error| missing(error, id))?;
        Ok(Response::new(v1::GetResourceResponse { resource: Some(convert::resource(&row)) }))
    }

    async fn list_resources(
        &self,
        request: Request<v1::ListResourcesRequest>,
    ) -> Result<Response<v1::ListResourcesResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let filter = list::filter(&request)?;
        let wanted = page::request(request.page_size, request.page_token)?;
        let page = resources::list(&scope, &filter, &wanted).await.map_err(page::refused)?;
        Ok(Response::new(v1::ListResourcesResponse {
            resources: page.items.iter().map(convert::resource).collect(),
            next_page_token: page.next_token.unwrap_or_default(),
        }))
    }

    async fn update_resource(
        &self,
        request: Request<v1::UpdateResourceRequest>,
    ) -> Result<Response<v1::UpdateResourceResponse>, Status> {
        perform(&self.engine, request, |scope, request| async move {
            let changed = update(&scope, request).await?;
            let name = changed.name.clone();
            Ok(Done::new(name, v1::UpdateResourceResponse { resource: Some(changed) }))
        })
        .await
    }

    async fn delete_resource(
        &self,
        request: Request<v1::DeleteResourceRequest>,
    ) -> Result<Response<v1::DeleteResourceResponse>, Status> {
        perform(&self.engine, request, |scope, request| async move {
            delete(&scope, &request).await?;
            Ok(Done::new(request.name, v1::DeleteResourceResponse {}))
        })
        .await
    }
}

async fn create(scope: &Scope, request: v1::CreateResourceRequest) -> Result<v1::Resource, Refusal> {
    let wire = request.resource.ok_or_else(|| Violations::one("resource", "is required"))?;
    let mut bad = Violations::default();
    let new = NewResource {
        display_name: display_name(&wire, &mut bad),
        kind: kind(&wire, &mut bad).unwrap_or(ResourceKind::Person),
        state: state("resource.state", wire.state, &mut bad).unwrap_or(ResourceState::Active),
        position: order(&wire, &mut bad),
    };
    bad.check()?;
    Ok(convert::resource(&resources::create(scope, new).await?))
}

async fn update(scope: &Scope, request: v1::UpdateResourceRequest) -> Result<v1::Resource, Refusal> {
    let wire = request.resource.ok_or_else(|| Violations::one("resource", "is required"))?;
    let id = name::resource("resource.name", &wire.name)?;
    let paths = request.update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty());
    let mut bad = Violations::default();
    let mut change = ResourceUpdate::default();
    for path in paths.unwrap_or_else(|| set_fields(&wire)) {
        match path.as_str() {
            "display_name" => change.display_name = Some(display_name(&wire, &mut bad)),
            "kind" => change.kind = Some(kind(&wire, &mut bad).unwrap_or(ResourceKind::Person)),
            "state" => {
                let state = state("resource.state", wire.state, &mut bad);
                change.state = Some(state.unwrap_or(ResourceState::Active));
            }
            "order" => change.position = Some(order(&wire, &mut bad)),
            other => bad.add(
                "update_mask",
                format!("`{other}` is not a field that can be changed: display_name, kind, state, order"),
            ),
        }
    }
    bad.check()?;
    let updated = resources::update(scope, id, change, name::given(&wire.etag)).await;
    Ok(convert::resource(&updated.map_err(|error| missing(error, id))?))
}

/// What is set at all: what a change without a mask means.
fn set_fields(wire: &v1::Resource) -> Vec<String> {
    let is_set = [
        ("display_name", !wire.display_name.is_empty()),
        ("kind", wire.kind != 0),
        ("state", wire.state != 0),
        ("order", wire.order != 0),
    ];
    is_set.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| field.to_owned()).collect()
}

async fn delete(scope: &Scope, request: &v1::DeleteResourceRequest) -> Result<(), Refusal> {
    let id = name::resource("name", &request.name)?;
    match resources::delete(scope, id, name::given(&request.etag), jiff::Timestamp::now()).await {
        Ok(Deletion::Made) => Ok(()),
        Ok(Deletion::InUse(to_come)) => Err(Refusal::WrongState {
            reason: v1::ErrorReason::ResourceInUse,
            message: format!(
                "{to_come} appointments on {} are still to come: move or cancel them, or deactivate it",
                convert::name(id)
            ),
        }),
        Err(StoreError::NotFound(_)) if request.allow_missing => Ok(()),
        Err(error) => Err(missing(error, id)),
    }
}

fn display_name(wire: &v1::Resource, bad: &mut Violations) -> String {
    if wire.display_name.trim().is_empty() {
        bad.add("resource.display_name", "is required");
    }
    bad.longest("resource.display_name", &wire.display_name, NAME_MAX);
    wire.display_name.clone()
}

fn order(wire: &v1::Resource, bad: &mut Violations) -> i32 {
    if !(0..=ORDER_MAX).contains(&wire.order) {
        bad.add("resource.order", format!("must be 0 to {ORDER_MAX}"));
    }
    wire.order
}

fn kind(wire: &v1::Resource, bad: &mut Violations) -> Option<ResourceKind> {
    convert::kind(wire.kind).unwrap_or_else(|_| {
        bad.add("resource.kind", "must be one of the named kinds");
        None
    })
}

fn state(field: &str, wire: i32, bad: &mut Violations) -> Option<ResourceState> {
    convert::state(wire).unwrap_or_else(|_| {
        bad.add(field, "must be one of the named states");
        None
    })
}

fn missing(error: StoreError, id: ResourceId) -> Refusal {
    match error {
        StoreError::NotFound(_) => Refusal::NotFound { name: convert::name(id) },
        StoreError::Conflict(_) => Refusal::EtagMismatch { name: convert::name(id) },
        other => other.into(),
    }
}
