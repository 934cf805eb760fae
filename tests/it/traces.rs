//! What a collector of traces is told (OTLP over gRPC).

use std::{collections::BTreeMap, time::Duration};

use onrecord::telemetry::Traces;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::{Span, span::SpanKind},
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::harness::{Person, Service, approved, words};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Whose trace it is.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Takes traces.
pub(crate) struct Collector(pub(crate) mpsc::UnboundedSender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        for span in resources.flat_map(|of| of.scope_spans).flat_map(|of| of.spans) {
            self.0.send(span).unwrap();
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_is_traced_from_its_caller_to_the_fan_out() {
    let (told, mut spans) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collector = Server::builder().add_service(TraceServiceServer::new(Collector(told)));
    tokio::spawn(collector.serve_with_incoming(TcpListenerStream::new(listener)));
    // Of the others none is sampled, whoever calls beside.
    let traces = Traces::start(&endpoint, 0.0).unwrap();

    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let draft = approved(&service, "fire", "en", words("First")).await;
    let mut request = Request::new(Person::publication(&[&draft]));
    request.metadata_mut().insert("traceparent", format!("00-{TRACE}-{CALLER}-01").parse().unwrap());
    service.person("publisher").editorial.publish_drafts(request).await.unwrap();

    let mut by_name = BTreeMap::new();
    let gathering = async {
        while by_name.len() < 4 {
            let span = spans.recv().await.unwrap();
            by_name.insert(span.name.clone(), span);
        }
    };
    timeout(PATIENCE, gathering).await.expect("four spans are told");
    traces.end().await;
    assert!(by_name.values().all(|span| hex::encode(&span.trace_id) == TRACE), "{by_name:#?}");
    let call = &by_name["onrecord.v1.EditorialService/PublishDrafts"];
    assert_eq!((hex::encode(&call.parent_span_id).as_str(), call.kind()), (CALLER, SpanKind::Server));
    let attribute = |name: &str| {
        let found = call.attributes.iter().find(|attribute| attribute.key == name).unwrap();
        format!("{:?}", found.value.as_ref().unwrap().value.as_ref().unwrap())
    };
    assert!(attribute("rpc.system.name").contains("grpc") && attribute("rpc.response.status_code").contains("OK"));
    for step in ["decide", "commit", "fan-out"] {
        assert_eq!(by_name[step].parent_span_id, call.span_id, "{step}");
    }
    let (decide, commit, fan_out) = (&by_name["decide"], &by_name["commit"], &by_name["fan-out"]);
    assert!(call.start_time_unix_nano <= decide.start_time_unix_nano);
    assert!(decide.end_time_unix_nano <= commit.start_time_unix_nano);
    assert!(commit.start_time_unix_nano <= commit.end_time_unix_nano);
    assert!(commit.start_time_unix_nano <= fan_out.end_time_unix_nano);
}
