//! `ClockService`: the clock that the service goes by, and a person's word for it.

use tonic::{Request, Response, Status};

use super::{
    audit::{self, Asked},
    caller::{admitted, origin},
    from_proto, to_proto, v1,
};
use crate::{
    domain::rejection::Rejection,
    journal::{ClockConfirmation, Journal},
};

/// The operators' service for the clock.
#[derive(Clone, Debug)]
pub struct Clocks {
    pub(super) journal: Journal,
}

#[tonic::async_trait]
impl v1::clock_service_server::ClockService for Clocks {
    async fn get_clock(&self, _: Request<v1::GetClockRequest>) -> Result<Response<v1::GetClockResponse>, Status> {
        Ok(Response::new(v1::GetClockResponse { clock: Some(to_proto::clock(self.journal.clock())) }))
    }

    async fn confirm_clock(
        &self,
        request: Request<v1::ConfirmClockRequest>,
    ) -> Result<Response<v1::ConfirmClockResponse>, Status> {
        let admitted = admitted(request.extensions())?;
        if !admitted.mandate.is_unlimited() {
            // The clock is that of the whole record.
            return Err(audit::refused(Rejection::OutOfMandate));
        }
        let time = from_proto::confirmed_time(request.get_ref()).map_err(audit::refused)?;
        let (caller, origin) = (admitted.caller.clone(), origin(request.extensions()));
        let asked = Asked::new("ConfirmClock", &time, None, false);
        let confirmed = self.journal.confirm_clock(ClockConfirmation { caller, origin, time }).await;
        asked.tell(confirmed.map_err(Status::from))?;
        Ok(Response::new(v1::ConfirmClockResponse { clock: Some(to_proto::clock(self.journal.clock())) }))
    }
}
