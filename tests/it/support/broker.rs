//! One real Apache Kafka broker -> running, with what a test asks of it.
//!
//! One node in `KRaft` mode on free ports of 127.0.0.1.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::kafka::create;
use super::process::Process;
use super::reaper::Reaper;
use super::{jvm, unique};

/// A broker of our own. Dropping it kills it.
pub(crate) struct Broker {
    address: String,
    process: Process,
}

/// What a broker may have beyond the usual.
#[derive(Default)]
pub(crate) struct More<'a> {
    /// Settings on top of the usual ones.
    pub(crate) settings: &'a [(&'a str, &'a str)],
    /// Listeners beside the usual one: `,NAME://HOST:PORT` each.
    pub(crate) listeners: &'a str,
    /// Arguments of the tool that formats its storage, quoted for a shell.
    pub(crate) format: &'a str,
    /// An option of its Java.
    pub(crate) java: Option<&'a str>,
}

impl Broker {
    /// Starts a broker with `overrides` on top of the usual settings, and waits until it answers.
    ///
    /// # Panics
    /// When Java or the jars are missing, or it does not answer in time.
    pub(crate) fn start(overrides: &[(&str, &str)]) -> Self {
        Self::start_with(&More { settings: overrides, ..More::default() })
    }

    /// Likewise, with more than settings.
    pub(crate) fn start_with(more: &More<'_>) -> Self {
        let address = format!("127.0.0.1:{}", jvm::free_port());
        let folder = Reaper::shared().folder().join(unique("kafka-data"));
        let settings = settle(&address, &folder, more);
        let mut process = launch(&settings, Some(more.format), more.java);
        jvm::wait_until_ready(&mut process, "Apache Kafka", || answers(&address));
        Self { address, process }
    }

    /// `host:port`, for `bootstrap.servers`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Stops it where it stands: connections stay open, and nothing answers any more.
    pub(crate) fn freeze(&self) {
        self.process.freeze();
    }
}

/// Writes the settings of a broker with its data in `folder`; gives the file.
pub(super) fn settle(address: &str, folder: &Path, more: &More<'_>) -> PathBuf {
    std::fs::create_dir_all(folder).expect("creating the folder of a broker");
    let settings = folder.join("server.properties");
    std::fs::write(&settings, properties(address, folder, more))
        .expect("writing the settings of a broker");
    settings
}

/// Starts a broker with these settings, on the data that it has, or formatted first with these
/// arguments more; `option` is one more for Java.
pub(super) fn launch(settings: &Path, format: Option<&str>, option: Option<&str>) -> Process {
    let (java, options) = jvm::java();
    // Formats, then becomes the broker, so that there is one process to watch. `$0` is the file of settings.
    let script = match format {
        None => r#"exec "$@" kafka.Kafka "$0""#.to_owned(),
        Some(format) => format!(
            r#""$@" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$0" {format} && exec "$@" kafka.Kafka "$0""#
        ),
    };
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(settings).arg(java).args(options).args(option);
    command.arg(concat!(
        "-Dlog4j2.configurationFile=",
        env!("CARGO_MANIFEST_DIR"),
        "/tests/servers/log4j2.properties"
    ));
    command.arg("-cp").arg(jvm::servers("kafka").join("*"));
    Process::spawn("kafka", command)
}

fn properties(address: &str, folder: &Path, more: &More<'_>) -> String {
    let controller = format!("127.0.0.1:{}", jvm::free_port());
    let listeners = format!("PLAINTEXT://{address},CONTROLLER://{controller}{}", more.listeners);
    let voters = format!("1@{controller}");
    let data = folder.join("data").display().to_string();
    let settings = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", &voters),
        ("controller.listener.names", "CONTROLLER"),
        ("listeners", &listeners),
        ("log.dirs", &data),
        // A topic that a test did not create is a mistake in the test.
        ("auto.create.topics.enable", "false"),
        // One node: the internal topics cannot have replicas. Few partitions: each costs files and start time.
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "4"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
        // Tests join and leave groups all the time, and wait for what a broker only finds out by its timers.
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.consumer.heartbeat.interval.ms", "500"),
        ("group.consumer.min.heartbeat.interval.ms", "500"),
        ("group.min.session.timeout.ms", "1000"),
        ("group.consumer.min.session.timeout.ms", "1000"),
        // A member that was killed is missed after 6 s, not 45.
        ("group.consumer.session.timeout.ms", "6000"),
        ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500"),
    ];
    // The last value of a name wins in a properties file.
    let all = settings.iter().chain(more.settings);
    all.map(|(name, value)| [name, "=", value, "\n"].concat()).collect()
}

/// The port opens before it takes clients; it is ready when it names itself.
pub(super) fn answers(address: &str) -> bool {
    let socket = address.parse().expect("an address of the form 127.0.0.1:port");
    TcpStream::connect_timeout(&socket, Duration::from_secs(1)).is_ok() && {
        let mut config = ClientConfig::new();
        let client: BaseConsumer = create(config.set("bootstrap.servers", address));
        client.fetch_metadata(None, Duration::from_secs(2)).is_ok_and(|it| !it.brokers().is_empty())
    }
}
