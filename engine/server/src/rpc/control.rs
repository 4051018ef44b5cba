//! What is asked of a live call: to end, to fall silent, to say something. On this node or on another.

use parlance_conversation::EndReason;
use parlance_proto::v1;
use parlance_proto::v1::control_call_request::Control;
use parlance_store::commands::Command;
use parlance_store::{CallId, Scope, calls};

use super::call::{Calls, missing};
use super::name;
use crate::bus::commands::posted;
use crate::convert::call as convert;
use crate::convert::event;
use crate::session::run::sayable;
use crate::status::{Refusal, Violations};

/// What a call says of its end whose engine let its lease lapse and did not answer.
const LEFT: &str = "ended after its engine was gone";

impl Calls {
    /// Ends a call, wherever it is.
    pub(super) async fn end(&self, scope: &Scope, id: CallId) -> Result<v1::Call, Refusal> {
        let row = calls::get(scope, id).await.map_err(|error| missing(error, id))?;
        match row.state {
            calls::CallState::Ended => return Err(over(id)),
            calls::CallState::Created if self.end_unheld(scope, id, "ended before its session").await? => {}
            // A session may have begun since the row was read.
            calls::CallState::Created | calls::CallState::Ongoing => {
                match self.order(scope, id, Command::End).await {
                    Err(Refusal::OwnerUnreachable { .. }) if self.end_unheld(scope, id, LEFT).await? => {}
                    other => other?,
                }
            }
        }
        Ok(convert::call(&row))
    }

    /// Carries out `request` in a live call, wherever it is.
    pub(super) async fn control(
        &self,
        scope: &Scope,
        request: &v1::ControlCallRequest,
    ) -> Result<(), Refusal> {
        let id = name::call("name", &request.name)?;
        let command = match &request.control {
            Some(Control::Interrupt(_)) => Command::Interrupt,
            Some(Control::Say(say)) => {
                sayable("say.text", &say.text)?;
                Command::Say { text: say.text.clone(), protected: say.protected }
            }
            None => return Err(Violations::one("control", "is required: one of interrupt, say").into()),
        };
        let row = calls::get(scope, id).await.map_err(|error| missing(error, id))?;
        match row.state {
            calls::CallState::Ended => Err(over(id)),
            calls::CallState::Ongoing => self.order(scope, id, command).await,
            calls::CallState::Created => Err(Refusal::WrongState {
                reason: v1::ErrorReason::CallNotLive,
                message: format!("calls/{id} waits for its session: nobody has joined it yet"),
            }),
        }
    }

    /// Ends a call that no engine holds. False if one does, or it is over.
    async fn end_unheld(&self, scope: &Scope, id: CallId, why: &str) -> Result<bool, Refusal> {
        let end = calls::CallEnd {
            at: jiff::Timestamp::now(),
            reason: event::word(&EndReason::ApiEnded),
            message: Some(why.to_owned()),
            recording_path: None,
            used: None,
        };
        let ended = calls::end_unheld(scope, id, &end).await?;
        if ended {
            self.engine.metrics.call_ended(EndReason::ApiEnded);
        }
        if ended && let Err(error) = self.engine.store.tell_written(&[id]).await {
            tracing::debug!(call = %id, %error, "those who wait for the call were not told of its end");
        }
        Ok(ended)
    }

    /// Has a command carried out by the node that the call lives on.
    async fn order(&self, scope: &Scope, id: CallId, command: Command) -> Result<(), Refusal> {
        if self.engine.live.post(id, posted(command.clone())) {
            return Ok(());
        }
        if self.engine.bus.ask(scope, id, &command).await? {
            return Ok(());
        }
        match calls::get(scope, id).await.map_err(|error| missing(error, id))?.state {
            calls::CallState::Ended => Err(over(id)),
            calls::CallState::Created | calls::CallState::Ongoing => {
                Err(Refusal::OwnerUnreachable { call: format!("calls/{id}") })
            }
        }
    }
}

fn over(id: CallId) -> Refusal {
    Refusal::WrongState { reason: v1::ErrorReason::CallOver, message: format!("calls/{id} is over already") }
}
