//! Where a doubtful clock is said: metrics, the status screen, the command line.

use onrecord::api::v1;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    command_line::onrecord,
    harness::words,
    metrics::{get, operated},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_in_doubt_is_said_in_metrics_on_screen_and_to_operators() {
    let (service, address) = operated().await;
    let metrics = async || get(address, "/metrics").await;
    let has = |text: &str, line: &str| assert!(text.lines().any(|found| found == line), "{line}: {text}");
    let status = || String::from_utf8(onrecord(&["status", "--metrics-listen", &address.to_string()]).stdout).unwrap();
    let trusted = metrics().await;
    for line in
        ["onrecord_clock_in_doubt 0", "onrecord_clock_moved_seconds 0.0", "onrecord_clock_behind_record_seconds 0.0"]
    {
        has(&trusted, line);
    }
    assert!(status().lines().any(|line| line.starts_with("clock ") && line.ends_with("trusted")), "{}", status());

    service.jump(-3_600).await;
    service.advance(150).await;
    let doubted = metrics().await;
    has(&doubted, "onrecord_clock_in_doubt 1");
    has(&doubted, "onrecord_clock_moved_seconds -3600.0");
    let screen = status();
    assert!(screen.contains("IN DOUBT: it moved back 2 min ago by 60 min") && screen.contains("ready"), "{screen}");

    // Nobody is sent elsewhere: withdrawals are taken here.
    let mut health = HealthClient::new(service.channel.clone());
    for name in ["", "onrecord.v1.EditorialService", "onrecord.v1.StatementService"] {
        let answer = health.check(HealthCheckRequest { service: name.to_owned() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));

    let server = format!("http://{}", service.address);
    let clock = |arguments: &[&str]| {
        let output = onrecord(&[&["--server", &server, "--caller", "olga", "clock"], arguments].concat());
        let words = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), words)
    };
    let (code, shown) = clock(&["show"]);
    assert!(code == 0 && shown.contains("IN DOUBT") && shown.contains("it moved by -3600 s"), "{code}: {shown}");
    // The clock of the tests stands years ago.
    let (code, refused) = clock(&["confirm"]);
    assert!(code == 4 && refused.contains("which reads 2025-12-31T23:02:30Z"), "{code}: {refused}");
    let (code, confirmed) = clock(&["confirm", "--time", "2025-12-31T23:02:20Z"]);
    assert!(code == 0 && confirmed.contains("2025-12-31T23:02:30.000Z, trusted"), "{code}: {confirmed}");
    has(&metrics().await, "onrecord_clock_in_doubt 0");
    let name = "statements/fire/drafts/en".to_owned();
    service.person("author").create("fire", "en").await;
    let draft = v1::Draft { name, content: Some(words("Fire")), ..Default::default() };
    service.person("author").try_save(draft).await.unwrap();
}
