//! Three real Kafka brokers on one machine -> each can be killed, started again with its data, frozen and thawed.
//!
//! Nodes in `KRaft` mode, each broker and controller; any two of them are a majority. All topics have three replicas, and two
//! of them must have a message before it is acknowledged. Dropping the cluster kills it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};

use super::process::{Process, was_killed};
use super::reaper::Reaper;
use super::{broker, jvm, kafka, unique, wait_for};

/// Limit: a leader is elected in seconds; a machine that is busy with JVMs that start takes longer.
const ELECTION_TIMEOUT: Duration = Duration::from_mins(2);

/// The number of a node, as the brokers know it.
pub(crate) type NodeId = i32;

const NODES: [NodeId; 3] = [1, 2, 3];

/// Settings of every node, beside those of a single one.
const SETTINGS: &[(&str, &str)] = &[
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    // A broker that is gone is missed after 3 s, not 9, and another controller elected sooner.
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("controller.quorum.election.timeout.ms", "1000"),
    ("controller.quorum.fetch.timeout.ms", "2000"),
    ("replica.lag.time.max.ms", "6000"),
    // Small: three of them share the machine with the workers.
    ("num.network.threads", "2"),
    ("num.io.threads", "2"),
    ("background.threads", "2"),
    ("log.cleaner.dedupe.buffer.size", "4194304"),
];

struct Node {
    address: String,
    settings: PathBuf,
    /// None while it is down.
    process: Option<Process>,
}

/// A running cluster.
pub(crate) struct Cluster {
    nodes: BTreeMap<NodeId, Node>,
}

impl Cluster {
    /// Starts three nodes and waits until each answers.
    ///
    /// # Panics
    /// When Java or the jars are missing, or they do not answer in time.
    pub(crate) fn start() -> Self {
        let ports = NODES.map(|id| (id, jvm::free_port(), jvm::free_port()));
        let voters = ports.map(|(id, _, controller)| format!("{id}@127.0.0.1:{controller}"));
        let voters = voters.join(",");
        let node = |(id, port, controller): (NodeId, u16, u16)| {
            let (address, number) = (format!("127.0.0.1:{port}"), id.to_string());
            let listeners = format!("PLAINTEXT://{address},CONTROLLER://127.0.0.1:{controller}");
            let own = [
                ("node.id", number.as_str()),
                ("controller.quorum.voters", &voters),
                ("listeners", &listeners),
            ];
            let folder = Reaper::shared().folder().join(unique("kafka-data"));
            let own = [SETTINGS, &own].concat();
            let more = broker::More { settings: &own, ..broker::More::default() };
            let settings = broker::settle(&address, &folder, &more);
            let process = Some(broker::launch(&settings, Some(more.format), None));
            (id, Node { address, settings, process })
        };
        let mut cluster = Self { nodes: ports.map(node).into() };
        cluster.await_all();
        cluster
    }

    /// `bootstrap.servers`.
    pub(crate) fn servers(&self) -> String {
        let addresses: Vec<_> = self.nodes.values().map(|node| node.address.as_str()).collect();
        addresses.join(",")
    }

    /// The numbers of all nodes.
    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// SIGKILL, as a lost machine would look; gives the pid that is gone.
    ///
    /// # Panics
    /// When the node is down already, or did not end by the signal.
    pub(crate) fn kill(&mut self, id: NodeId) -> u32 {
        let mut process = self.node(id).process.take().expect("the broker runs");
        let pid = process.id();
        let status = process.kill9();
        assert!(was_killed(status), "the broker {id} had ended before: {status}");
        pid
    }

    /// Starts every node that is down again, with its data, and waits until all answer.
    ///
    /// # Panics
    /// When one does not answer in time.
    pub(crate) fn restart(&mut self) {
        for node in self.nodes.values_mut().filter(|node| node.process.is_none()) {
            node.process = Some(broker::launch(&node.settings, None, None));
        }
        self.await_all();
    }

    /// Stops a node where it stands: connections stay open, and it answers nothing any more.
    pub(crate) fn freeze(&mut self, id: NodeId) {
        self.process(id).freeze();
    }

    /// Lets a frozen node go on.
    pub(crate) fn thaw(&mut self, id: NodeId) {
        self.process(id).thaw();
    }

    /// The leader of a partition, as any node that answers tells.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Option<NodeId> {
        let mut config = kafka::client_of(&self.servers());
        config.set("reconnect.backoff.max.ms", "200");
        let client: BaseConsumer = kafka::create(&config);
        let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(2)).ok()?;
        let all = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        let mut leaders = all.filter(|it| it.id() == partition).map(MetadataPartition::leader);
        leaders.next().filter(|leader| *leader >= 0)
    }

    /// Waits until a partition has a leader that is none of `others`.
    ///
    /// # Panics
    /// When there is none in time.
    pub(crate) fn leader_but(&self, topic: &str, partition: i32, others: &[NodeId]) -> NodeId {
        wait_for(&format!("a leader of `{topic}` but {others:?}"), ELECTION_TIMEOUT, || {
            self.leader(topic, partition).filter(|leader| !others.contains(leader))
        })
    }

    /// The node that coordinates `name`, with the partition of the internal topic that says so.
    pub(crate) fn coordinator(&self, topic: &str, name: &str) -> (NodeId, i32) {
        // As Java's `String.hashCode`, and four partitions as in the settings of a broker.
        let hash = name
            .bytes()
            .fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
        let partition = hash.checked_abs().unwrap_or(0) % 4;
        (self.leader_but(topic, partition, &[]), partition)
    }

    /// Waits until every replica of every topic has caught up, so that the next broker may be lost.
    ///
    /// # Panics
    /// When one has not in time.
    pub(crate) fn await_in_sync(&self) {
        let config = kafka::client_of(&self.servers());
        let client: BaseConsumer = kafka::create(&config);
        wait_for("replicas that have caught up", ELECTION_TIMEOUT, || {
            let metadata = client.fetch_metadata(None, Duration::from_secs(5)).ok()?;
            let mut all = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            all.all(|it| it.isr().len() == NODES.len()).then_some(())
        });
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node of this number")
    }

    fn process(&mut self, id: NodeId) -> &mut Process {
        self.node(id).process.as_mut().expect("the broker runs")
    }

    fn await_all(&mut self) {
        for (id, node) in &mut self.nodes {
            let address = node.address.clone();
            let process = node.process.as_mut().expect("the broker runs");
            let name = format!("Apache Kafka, node {id}");
            jvm::wait_until_ready(process, &name, || broker::answers(&address));
        }
    }
}
