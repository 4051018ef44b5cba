//! `OrganisationService`: creates, reads and changes organisations. The default one is the operator's.

use std::sync::Arc;

use parlance_proto::v1;
use parlance_proto::v1::organisation_service_server::OrganisationService;
use parlance_store::organisations::{self, INSTRUCTIONS_MAX, OpeningHours, OrganisationUpdate};
use parlance_store::{Error as StoreError, OrganisationId, Scope};
use tonic::{Request, Response, Status};

use super::perform::{Done, perform};
use super::{auth, name, order, page};
use crate::convert::{api_key, organisation as convert};
use crate::engine::Engine;
use crate::status::{Refusal, Violations};

const NAME_MAX: usize = 200;
const CAPACITY_MAX: i32 = 10_000;
const HOURS_MAX: usize = 100;
const QUOTA_MAX: i32 = 1_000_000;
const FIELDS: [&str; 7] = [
    "display_name",
    "time_zone",
    "appointment_capacity",
    "opening_hours",
    "instructions",
    "sessions_max",
    "calls_per_minute",
];

/// The service.
pub struct Organisations {
    engine: Arc<Engine>,
}

impl Organisations {
    /// Organisations are kept by `engine`'s store.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

/// Whether these rows are the operator's own.
pub fn is_operator(scope: &Scope) -> bool {
    scope.organisation() == OrganisationId::DEFAULT
}

/// Only the operator may do `what`.
pub fn operator_only(what: &str) -> Refusal {
    Refusal::WrongState {
        reason: v1::ErrorReason::OperatorOnly,
        message: format!("only the operator may {what}: use a key of the default organisation"),
    }
}

#[tonic::async_trait]
impl OrganisationService for Organisations {
    async fn create_organisation(
        &self,
        request: Request<v1::CreateOrganisationRequest>,
    ) -> Result<Response<v1::CreateOrganisationResponse>, Status> {
        let engine = self.engine.clone();
        perform(&self.engine, request, |scope, request| async move {
            if !is_operator(&scope) {
                return Err(operator_only("create organisations"));
            }
            create(&engine, request).await
        })
        .await
    }

    async fn get_organisation(
        &self,
        request: Request<v1::GetOrganisationRequest>,
    ) -> Result<Response<v1::GetOrganisationResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let id = name::organisation("name", &request.get_ref().name)?;
        let wanted = reach(&self.engine, &scope, id)?;
        let profile = organisations::profile(&wanted).await.map_err(|error| missing(error, &wanted))?;
        Ok(Response::new(v1::GetOrganisationResponse { organisation: Some(convert::organisation(&profile)) }))
    }

    async fn list_organisations(
        &self,
        request: Request<v1::ListOrganisationsRequest>,
    ) -> Result<Response<v1::ListOrganisationsResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        in_known_order(&request.order_by)?;
        let wanted = page::request(request.page_size, request.page_token)?;
        let mut answer = v1::ListOrganisationsResponse::default();
        if is_operator(&scope) {
            let page = organisations::list(&self.engine.store, &wanted).await.map_err(page::refused)?;
            answer.organisations = page.items.iter().map(convert::organisation).collect();
            answer.next_page_token = page.next_token.unwrap_or_default();
        } else if wanted.token.is_some() {
            return Err(
                Refusal::from(Violations::one("page_token", "is not from a page of this very list")).into()
            );
        } else {
            let own = organisations::profile(&scope).await.map_err(|error| missing(error, &scope))?;
            answer.organisations.push(convert::organisation(&own));
        }
        Ok(Response::new(answer))
    }

    async fn update_organisation(
        &self,
        request: Request<v1::UpdateOrganisationRequest>,
    ) -> Result<Response<v1::UpdateOrganisationResponse>, Status> {
        let engine = self.engine.clone();
        perform(&self.engine, request, |scope, request| async move {
            let changed = update(&engine, &scope, request).await?;
            let name = changed.name.clone();
            Ok(Done::new(name, v1::UpdateOrganisationResponse { organisation: Some(changed) }))
        })
        .await
    }
}

/// Only the oldest first: what gives the operator all organisations knows no other order.
fn in_known_order(order_by: &str) -> Result<(), Refusal> {
    match order::parse(order_by, &["create_time"])? {
        Some((_, true)) => {
            Err(Violations::one("order_by", "must be create_time, without ` desc` behind it").into())
        }
        _ => Ok(()),
    }
}

/// The rows of the organisation of that id, none being one's own.
pub fn reach(engine: &Engine, own: &Scope, id: Option<OrganisationId>) -> Result<Scope, Refusal> {
    match id {
        None => Ok(own.clone()),
        Some(id) if id == own.organisation() || is_operator(own) => Ok(engine.store.scope(id)),
        Some(id) => Err(Refusal::NotFound { name: convert::name(id) }),
    }
}

async fn create(
    engine: &Engine,
    request: v1::CreateOrganisationRequest,
) -> Result<Done<v1::CreateOrganisationResponse>, Refusal> {
    let wire = request.organisation.ok_or_else(|| Violations::one("organisation", "is required"))?;
    let mut bad = Violations::default();
    if wire.display_name.trim().is_empty() {
        bad.add("organisation.display_name", "is required");
    }
    let change = Change::read(&wire, set_fields(&wire), &mut bad);
    bad.check()?;
    let week = change.week.unwrap_or_else(OpeningHours::default_week);
    let (profile, key) = organisations::create(&engine.store, change.row, &week).await?;
    let organisation = convert::organisation(&profile);
    let name = organisation.name.clone();
    let kept = v1::CreateOrganisationResponse {
        organisation: Some(organisation),
        api_key: Some(api_key::api_key(&key.key)),
        // The secret is in no row.
        secret: String::new(),
    };
    let answer = v1::CreateOrganisationResponse { secret: key.secret, ..kept.clone() };
    Ok(Done { kept: Some(kept), ..Done::new(name, answer) })
}

async fn update(
    engine: &Engine,
    own: &Scope,
    request: v1::UpdateOrganisationRequest,
) -> Result<v1::Organisation, Refusal> {
    let wire = request.organisation.ok_or_else(|| Violations::one("organisation", "is required"))?;
    let id = name::organisation("organisation.name", &wire.name)?;
    let paths = request.update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty());
    let mut bad = Violations::default();
    let change = Change::read(&wire, paths.unwrap_or_else(|| set_fields(&wire)), &mut bad);
    bad.check()?;
    let scope = reach(engine, own, id)?;
    if !is_operator(own) && change.changes_quotas(&scope).await? {
        return Err(operator_only("change quotas"));
    }
    let etag = Some(wire.etag.as_str()).filter(|etag| !etag.is_empty());
    let updated = organisations::update(&scope, change.row, change.week.as_deref(), etag).await;
    Ok(convert::organisation(&updated.map_err(|error| missing(error, &scope))?))
}

/// What is set at all: what a change without a mask means.
fn set_fields(wire: &v1::Organisation) -> Vec<String> {
    let is_set = [
        !wire.display_name.is_empty(),
        !wire.time_zone.is_empty(),
        wire.appointment_capacity != 0,
        !wire.opening_hours.is_empty(),
        !wire.instructions.is_empty(),
        wire.sessions_max != 0,
        wire.calls_per_minute != 0,
    ];
    FIELDS.iter().zip(is_set).filter(|(_, is_set)| *is_set).map(|(field, _)| (*field).to_owned()).collect()
}

/// A change that makes sense.
#[derive(Default)]
struct Change {
    row: OrganisationUpdate,
    week: Option<Vec<OpeningHours>>,
}

impl Change {
    /// What the masked fields say.
    fn read(wire: &v1::Organisation, paths: Vec<String>, bad: &mut Violations) -> Self {
        let mut change = Self::default();
        for path in paths {
            match path.as_str() {
                "display_name" => change.row.display_name = Some(display_name(wire, bad)),
                "time_zone" => change.row.time_zone = Some(time_zone(wire, bad)),
                "appointment_capacity" => change.row.appointment_capacity = Some(capacity(wire, bad)),
                "opening_hours" => change.week = Some(week(wire, bad)),
                "instructions" => {
                    bad.longest("organisation.instructions", &wire.instructions, INSTRUCTIONS_MAX);
                    change.row.instructions = Some(wire.instructions.clone());
                }
                "sessions_max" => change.row.sessions_max = Some(quota(&path, wire.sessions_max, bad)),
                "calls_per_minute" => {
                    change.row.calls_per_minute = Some(quota(&path, wire.calls_per_minute, bad));
                }
                other => bad.add(
                    "update_mask",
                    format!("`{other}` is not a field that can be changed: {}", FIELDS.join(", ")),
                ),
            }
        }
        change
    }

    async fn changes_quotas(&self, scope: &Scope) -> Result<bool, Refusal> {
        if self.row.sessions_max.is_none() && self.row.calls_per_minute.is_none() {
            return Ok(false);
        }
        let now = organisations::get(scope).await.map_err(|error| missing(error, scope))?;
        Ok(self.row.sessions_max.is_some_and(|most| most != now.sessions_max)
            || self.row.calls_per_minute.is_some_and(|most| most != now.calls_per_minute))
    }
}

fn display_name(wire: &v1::Organisation, bad: &mut Violations) -> String {
    if wire.display_name.trim().is_empty() {
        bad.add("organisation.display_name", "is required");
    }
    bad.longest("organisation.display_name", &wire.display_name, NAME_MAX);
    wire.display_name.clone()
}

fn time_zone(wire: &v1::Organisation, bad: &mut Violations) -> String {
    let zone = if wire.time_zone.is_empty() { "UTC" } else { wire.time_zone.as_str() };
    if jiff::tz::TimeZone::get(zone).is_err() {
        bad.add("organisation.time_zone", "must be an IANA name, such as Europe/Berlin");
    }
    zone.to_owned()
}

fn capacity(wire: &v1::Organisation, bad: &mut Violations) -> i32 {
    if !(0..=CAPACITY_MAX).contains(&wire.appointment_capacity) {
        bad.add("organisation.appointment_capacity", format!("must be 1 to {CAPACITY_MAX}, or 0 for 1"));
    }
    wire.appointment_capacity.max(1)
}

fn week(wire: &v1::Organisation, bad: &mut Violations) -> Vec<OpeningHours> {
    let field = "organisation.opening_hours";
    if wire.opening_hours.len() > HOURS_MAX {
        bad.add(field, format!("has {} entries; at most {HOURS_MAX} are allowed", wire.opening_hours.len()));
        return Vec::new();
    }
    convert::week(field, &wire.opening_hours, bad)
}

fn quota(path: &str, value: i32, bad: &mut Violations) -> i32 {
    if !(0..=QUOTA_MAX).contains(&value) {
        bad.add(format!("organisation.{path}"), format!("must be 0 to {QUOTA_MAX}"));
    }
    value
}

/// What the store said about this organisation.
fn missing(error: StoreError, scope: &Scope) -> Refusal {
    match error {
        StoreError::NotFound(_) => Refusal::NotFound { name: convert::name(scope.organisation()) },
        StoreError::Conflict(_) => Refusal::EtagMismatch { name: convert::name(scope.organisation()) },
        other => other.into(),
    }
}
