//! `InfoService`: the service's version and limits, and the caller as it is known here.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    caller::{admitted, origin},
    fields::FIELDS_MAX,
    page_token::PAGE_SIZE_MAX,
    to_proto, v1,
};
use crate::{
    access::Access,
    domain::{
        event::SEAL_VERSION,
        limits::{CONTENT_BYTES_MAX, Limits, RENDITION},
    },
    journal::{Journal, STORAGE_FORMAT},
    version,
};

/// Bytes of request messages, as the server enforces them.
#[derive(Clone, Copy, Debug)]
pub struct RequestBytes {
    /// Of `EditorialService`.
    pub editorial: usize,
    /// Of the other services.
    pub others: usize,
}

/// The service that describes itself and its callers.
#[derive(Clone, Debug)]
pub struct Info {
    pub(super) journal: Journal,
    pub(super) access: Access,
    pub(super) limits: Arc<Limits>,
    pub(super) request_bytes: RequestBytes,
}

/// Converts a limit, which is far below 2^32.
fn number(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

#[tonic::async_trait]
impl v1::info_service_server::InfoService for Info {
    async fn get_service_info(
        &self,
        _: Request<v1::GetServiceInfoRequest>,
    ) -> Result<Response<v1::GetServiceInfoResponse>, Status> {
        let limits = &self.limits;
        let text_limits = v1::TextLimits {
            title_graphemes: number(limits.title_graphemes),
            summary_graphemes: number(limits.summary_graphemes),
            body_bytes: number(limits.body_bytes),
            content_bytes: number(CONTENT_BYTES_MAX),
            attachments: number(limits.attachments),
            claim_reviews: number(limits.claim_reviews),
            rendition_graphemes: limits.renditions().map(|(channel, max)| (channel.to_owned(), number(max))).collect(),
            other_rendition_graphemes: number(RENDITION.graphemes),
        };
        let request_limits = v1::RequestLimits {
            editorial_bytes: number(self.request_bytes.editorial),
            bytes: number(self.request_bytes.others),
            fields: number(FIELDS_MAX),
            page_size: PAGE_SIZE_MAX.unsigned_abs(),
        };
        let info = v1::ServiceInfo {
            version: version::VERSION.to_owned(),
            commit: version::commit().to_owned(),
            feed_id: hex::encode(self.journal.identity().feed_id),
            storage_format: STORAGE_FORMAT,
            seal_version: SEAL_VERSION,
            text_limits: Some(text_limits),
            request_limits: Some(request_limits),
        };
        Ok(Response::new(v1::GetServiceInfoResponse { info: Some(info) }))
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let admitted = admitted(request.extensions())?;
        let credential = origin(request.extensions()).map(|origin| origin.credential).unwrap_or_default();
        Ok(Response::new(v1::WhoAmIResponse {
            caller: admitted.caller.to_string(),
            credential,
            expire_time: admitted.expire_time.and_then(to_proto::time),
            grants: self.access.grants(&admitted.caller).iter().map(to_proto::grant).collect(),
            limits: self.access.limits().map(|limits| v1::CallerLimits {
                calls_per_second: limits.calls_per_second.get(),
                calls_burst: limits.calls_burst.get(),
                calls_in_flight: limits.calls_in_flight,
                streams: limits.streams,
                snapshots_per_minute: limits.snapshots_per_minute.get(),
            }),
        }))
    }
}
