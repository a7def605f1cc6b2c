//! A collector that keeps what it is sent, and a server that sends to it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    metrics::v1::{Metric, metric::Data, number_data_point::Value},
    trace::v1::Span,
};
use prost::Message as _;

use crate::{
    Node,
    config::{AdminListen, Config},
    relay,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A path and what was posted there.
type Posted = (String, Vec<u8>);

/// Listens, and hands out what is posted.
fn collector() -> (SocketAddr, Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it listens");
    let (sender, posted) = sync_channel(64);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if sender.send(take(stream)).is_err() {
                return;
            }
        }
    });
    (address, posted)
}

fn take(mut stream: TcpStream) -> Posted {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    assert!(
        head.contains("content-type: application/x-protobuf\r\n"),
        "{head}"
    );
    let length = head.split_once("content-length: ").expect("a length").1;
    let length = length
        .lines()
        .next()
        .expect("a line")
        .parse()
        .expect("a number");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("as long as was said");
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer).expect("it reads");
    let path = head.split(' ').nth(1).expect("a path").to_owned();
    (path, body)
}

fn ask(admin: SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(admin).expect("it listens");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
}

#[test]
fn a_collector_is_sent_metrics_and_spans() {
    let (address, posted) = collector();
    let mut config = Config {
        listen: "127.0.0.1:0".parse().expect("an address"),
        shards: Some(1),
        ..Config::default()
    };
    config.admin.listen = AdminListen::At("127.0.0.1:0".parse().expect("an address"));
    config.admin.otlp_endpoint = Some(format!("http://{address}/otel"));
    let node = Node::start(relay(&config), config).expect("it starts");
    ask(node.admin_addr().expect("it is on"), "/health/ready");
    let (mut metrics, mut spans): (Vec<Metric>, Vec<Span>) = (Vec::new(), Vec::new());
    while metrics.is_empty() || spans.is_empty() {
        let (path, body) = posted.recv_timeout(PATIENCE).expect("it is sent");
        match &*path {
            "/otel/v1/metrics" => {
                let sent = ExportMetricsServiceRequest::decode(&*body).expect("protobuf");
                let sent = sent.resource_metrics.into_iter();
                let scopes = sent.flat_map(|it| it.scope_metrics);
                metrics.extend(scopes.flat_map(|it| it.metrics));
            }
            "/otel/v1/traces" => {
                let sent = ExportTraceServiceRequest::decode(&*body).expect("protobuf");
                let sent = sent.resource_spans.into_iter();
                let scopes = sent.flat_map(|it| it.scope_spans);
                spans.extend(scopes.flat_map(|it| it.spans));
            }
            other => panic!("{other}"),
        }
    }
    let named = |name: &str| {
        let metric = metrics.iter().find(|it| it.name == name);
        metric.unwrap_or_else(|| panic!("no {name}")).data.clone()
    };
    match named("fourtuple_refused_upgrades_total") {
        Some(Data::Sum(sum)) => {
            assert!(sum.is_monotonic);
            assert_eq!(sum.data_points.len(), crate::upgrade::Refusal::LABELS.len());
            assert_eq!(sum.data_points[0].value, Some(Value::AsInt(0)));
        }
        other => panic!("{other:?}"),
    }
    match named("fourtuple_handshake_duration_seconds") {
        Some(Data::Histogram(histogram)) => {
            let point = &histogram.data_points[0];
            assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        }
        other => panic!("{other:?}"),
    }
    let span = spans.iter().find(|span| span.name == "GET /health/ready");
    let span = span.expect("the request was traced");
    assert_eq!(span.trace_id[..2], [0x0a, 0xf7]);
    assert_eq!(span.parent_span_id[..2], [0xb7, 0xad]);
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    node.drain();
    node.join().expect("its kernel works");
}
