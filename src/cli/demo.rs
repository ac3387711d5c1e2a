//! `sluice demo`: samples in, table out, through a Kafka cluster that lives in this process.
//!
//! The cluster is librdkafka's own. It ignores `read_committed`, so the demo shows the way of a
//! document and proves nothing about delivery; `--brokers` takes a real cluster.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use super::table::{self, Row};
use super::{Failure, load, say, say_aside};
use crate::config::pipeline::Output;
use crate::config::samples::{Sample, samples};
use crate::config::settings::{self, Compute, GroupProtocol, LogFormat, Settings};
use crate::config::{Flow, media_type_of};
use crate::error::{Fault, FaultClass};
use crate::kafka::{self, Quiet};
use crate::shutdown::Stop;
use crate::sink::codec::Codec;
use crate::telemetry;
use crate::worker::{self, Worker};

/// Longest wait for one call to the cluster.
const CALL_MAX: Duration = Duration::from_secs(30);
/// The demo gives up when no outcome comes for so long.
const SILENCE_MAX: Duration = Duration::from_mins(2);

/// Run a pipeline's samples through an embedded Kafka, and show what comes out.
#[derive(Args)]
pub(super) struct DemoArgs {
    /// Pipeline folder
    #[arg(value_name = "DIR", default_value = "pipelines/contracts")]
    dir: PathBuf,
    /// Brokers of a real cluster; topics of the demo's own are made there and deleted
    #[arg(long, value_name = "HOST:PORT,..")]
    brokers: Option<String>,
    #[command(flatten)]
    compute: Compute,
    /// Level of the log lines on stderr
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    log: String,
}

/// A cluster for the time of the demo.
struct Cluster {
    brokers: String,
    topics: Vec<String>,
    is_real: bool,
    /// Held so that the embedded brokers live.
    _embedded: Option<MockCluster<'static, rdkafka::producer::DefaultProducerContext>>,
}

pub(super) fn demo(args: &DemoArgs) -> Result<(), Failure> {
    telemetry::start(LogFormat::Text, &args.log);
    let since = Instant::now();
    let mut flow = load(&args.dir)?;
    let samples = samples(&args.dir)
        .map_err(|error| Fault::new(FaultClass::Fatal, "reading the folder `samples`", error))?;
    rename_topics(&mut flow);
    let cluster = Cluster::start(args.brokers.as_deref(), &flow)?;
    produce(&cluster, &flow.pipeline.input.topic, &samples)?;
    say_aside(&format!(
        "{} documents are on `{}`; loading the model\n",
        samples.len(),
        flow.pipeline.input.topic
    ));

    let settings = settings(args, &cluster);
    let (base, engines) = worker::build(&settings.compute, None, vec![flow])?;
    let Some(engine) = engines.first() else { return Ok(()) };
    let (codec, flow) = (engine.codec()?, engine.flow.clone());
    let worker = Worker::start(&settings, base, engines)?;
    let shutdown = worker.shutdown();
    let rows = collect(&cluster, &flow, &codec, samples.len(), &|| shutdown.stopped().is_some());
    shutdown.stop(Stop::Drain);
    let stopped = worker.wait();
    cluster.remove()?;
    let rows = rows?;
    stopped?;
    for row in &rows {
        say(&table::block(row, &flow))?;
    }
    let count = |outcome: &str| rows.iter().filter(|row| row.outcome == outcome).count();
    say(&format!(
        "demo: {} documents, {} records, {} reviews, {} rejects in {:.1} s",
        rows.len(),
        count("record"),
        count("review"),
        count("reject"),
        since.elapsed().as_secs_f64()
    ))
}

/// Topics of the demo's own, so that a real cluster's are left alone.
fn rename_topics(flow: &mut Flow) {
    let own = |topic: &mut String| *topic = format!("sluice-demo-{}.{topic}", std::process::id());
    let pipeline = &mut flow.pipeline;
    own(&mut pipeline.input.topic);
    own(&mut pipeline.output.record_topic);
    own(&mut pipeline.output.review_topic);
    own(&mut pipeline.output.reject_topic);
    pipeline.input.group = Some(format!("sluice-demo-{}", std::process::id()));
}

fn settings(args: &DemoArgs, cluster: &Cluster) -> Settings {
    Settings {
        kafka: settings::Kafka {
            brokers: cluster.brokers.clone(),
            instance: Some("demo".to_owned()),
            transactional_prefix: format!("sluice-demo-{}", std::process::id()),
            // The embedded cluster assigns by the classic protocol only.
            group_protocol: if cluster.is_real {
                GroupProtocol::Auto
            } else {
                GroupProtocol::Classic
            },
            properties: Vec::new(),
        },
        registry: settings::Registry { url: None },
        compute: args.compute.clone(),
        service: settings::Service {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            drain_deadline_ms: 10_000,
        },
        logs: settings::Logs { log_format: LogFormat::Text, log: args.log.clone() },
    }
}

impl Cluster {
    fn start(brokers: Option<&str>, flow: &Flow) -> Result<Self, Failure> {
        let topics = topics_of(flow);
        if let Some(brokers) = brokers {
            create_topics(brokers, &topics)?;
            let brokers = brokers.to_owned();
            return Ok(Self { brokers, topics, is_real: true, _embedded: None });
        }
        let fault = |error| Fault::new(FaultClass::Fatal, "starting the embedded cluster", error);
        let embedded = MockCluster::new(1).map_err(fault)?;
        for topic in &topics {
            embedded.create_topic(topic, 1, 1).map_err(fault)?;
        }
        let brokers = embedded.bootstrap_servers();
        Ok(Self { brokers, topics, is_real: false, _embedded: Some(embedded) })
    }

    fn config(&self) -> ClientConfig {
        client_config(&self.brokers)
    }

    fn remove(&self) -> Result<(), Failure> {
        if !self.is_real {
            return Ok(());
        }
        let fault = |error| Fault::new(FaultClass::Fatal, "deleting the demo's topics", error);
        let admin: AdminClient<Quiet> = self.config().create_with_context(Quiet).map_err(fault)?;
        let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let options = AdminOptions::new().operation_timeout(Some(CALL_MAX));
        block_on(admin.delete_topics(&names, &options))?.map_err(fault)?;
        Ok(())
    }
}

fn topics_of(flow: &Flow) -> Vec<String> {
    let Output { record_topic, review_topic, reject_topic, .. } = &flow.pipeline.output;
    [&flow.pipeline.input.topic, record_topic, review_topic, reject_topic]
        .into_iter()
        .cloned()
        .collect()
}

fn client_config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("message.max.bytes", "10000000");
    config
}

fn create_topics(brokers: &str, topics: &[String]) -> Result<(), Failure> {
    let fault = |error| Fault::new(FaultClass::Fatal, "making the demo's topics", error);
    let admin: AdminClient<Quiet> =
        client_config(brokers).create_with_context(Quiet).map_err(fault)?;
    let new = topics.iter().map(|topic| {
        NewTopic::new(topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "10000000")
    });
    let new: Vec<_> = new.collect();
    let options = AdminOptions::new().operation_timeout(Some(CALL_MAX));
    for made in block_on(admin.create_topics(&new, &options))?.map_err(fault)? {
        made.map_err(|(topic, code)| {
            Fault::plain(FaultClass::Fatal, format!("making the topic `{topic}`: {code}"))
        })?;
    }
    Ok(())
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::new(FaultClass::Fatal, "starting a runtime", error))?;
    Ok(runtime.block_on(future))
}

fn produce(cluster: &Cluster, topic: &str, samples: &[Sample]) -> Result<(), Failure> {
    let fault = |error| Fault::new(FaultClass::Fatal, "producing the samples", error);
    let producer: BaseProducer = cluster.config().create().map_err(fault)?;
    for sample in samples {
        let body = fs::read(&sample.path).map_err(|error| {
            Fault::new(FaultClass::Fatal, format!("reading `{}`", sample.path.display()), error)
        })?;
        let headers = OwnedHeaders::new()
            .insert(Header { key: "content-type", value: Some(media_type_of(&sample.path)) })
            .insert(Header { key: "document-id", value: Some(&sample.name) });
        let record = BaseRecord::to(topic).key(&sample.name).payload(&body).headers(headers);
        producer.send(record).map_err(|(error, _)| fault(error))?;
    }
    Ok(producer.flush(CALL_MAX).map_err(fault)?)
}

/// Reads the output topics until every document has ended, with a line of progress for each.
fn collect(
    cluster: &Cluster,
    flow: &Flow,
    codec: &Codec,
    count: usize,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Vec<Row>, Failure> {
    let fault = |error| kafka::fault("reading the outcomes", error);
    let consumer: BaseConsumer<Quiet> = cluster
        .config()
        .set("group.id", format!("sluice-demo-reader-{}", std::process::id()))
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", "10000000")
        .create_with_context(Quiet)
        .map_err(fault)?;
    let output = &flow.pipeline.output;
    let topics = [&output.record_topic, &output.review_topic, &output.reject_topic];
    let mut rows = BTreeMap::new();
    // Assigned by hand: the demo reads alone, and a group would make it wait.
    let mut list = rdkafka::TopicPartitionList::new();
    for topic in topics {
        list.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).map_err(fault)?;
    }
    consumer.assign(&list).map_err(fault)?;
    let mut heard = Instant::now();
    while rows.len() < count {
        if is_stopped() || heard.elapsed() > SILENCE_MAX {
            let what = "waiting for outcomes: the worker stopped or went silent";
            return Err(Fault::plain(FaultClass::Fatal, what).into());
        }
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let Ok(message) = message else { continue };
        heard = Instant::now();
        let row = row(&message, flow, codec)?;
        say_aside(&format!(
            "{:>3} of {count}  {:<7} {}\n",
            rows.len() + 1,
            row.outcome,
            row.document
        ));
        rows.insert(row.document.clone(), row);
    }
    Ok(rows.into_values().collect())
}

fn row(message: &BorrowedMessage<'_>, flow: &Flow, codec: &Codec) -> Result<Row, Failure> {
    let document = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
    let output = &flow.pipeline.output;
    if message.topic() == output.reject_topic {
        let header = |name: &str| {
            let headers = message.headers().into_iter().flat_map(Headers::iter);
            let value = headers.filter(|header| header.key == name).find_map(|header| header.value);
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let value = Value::Null;
        let reasons = vec![format!("{}: {}", header("sluice-code"), header("sluice-detail"))];
        return Ok(Row { document, outcome: "reject", value, reasons });
    }
    let body = message.payload().unwrap_or_default();
    let value = codec.read(body, &|_| None).map_err(|_kept_out| {
        Fault::plain(FaultClass::Fatal, "reading an outcome back: it does not fit its schema")
    })?;
    if message.topic() == output.record_topic {
        return Ok(Row { document, outcome: "record", value, reasons: Vec::new() });
    }
    let text = |reason: &Value, key: &str| {
        reason.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let reasons = value.get("reasons").and_then(Value::as_array).into_iter().flatten();
    let reasons =
        reasons.map(|reason| format!("{}: {}", text(reason, "code"), text(reason, "detail")));
    Ok(Row {
        document,
        outcome: "review",
        reasons: reasons.collect(),
        value: value.get("record").cloned().unwrap_or_default(),
    })
}
