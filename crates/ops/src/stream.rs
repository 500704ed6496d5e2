//! The stream: collect, log, process, serve as one graph, width is rate.

use crate::groups::{GroupState, GroupView};
use crate::inputs::JobView;
use crate::link::page_link;
use serde::Serialize;
use std::collections::BTreeMap;

/// Nodes of one layer; the rest is summed up in one node.
const LAYER_NODES_MAX: usize = 7;

/// The graph.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stream {
    /// Nodes, in layer order, the busiest first.
    pub nodes: Vec<Node>,
    /// Links between nodes of neighbouring layers.
    pub links: Vec<Link>,
}

/// A place where records are.
#[derive(Debug, Clone, Serialize)]
pub struct Node {
    /// Unique within the graph.
    pub id: String,
    /// Which layer.
    pub layer: Layer,
    /// Name to show; empty for the node that sums up the rest.
    pub label: String,
    /// Records a second through it.
    pub records_per_s: f64,
    /// `ok`, `warn`, `critical`, `transition` or `idle`.
    pub state: &'static str,
    /// The console's page.
    pub link: Option<String>,
    /// A short note: `behind 41 s`.
    pub note: Option<String>,
}

/// A flow between two nodes.
#[derive(Debug, Clone, Serialize)]
pub struct Link {
    /// Node id.
    pub from: String,
    /// Node id.
    pub to: String,
    /// Records a second.
    pub records_per_s: f64,
}

/// The four parts of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Who writes.
    Collect,
    /// Topics.
    Log,
    /// Jobs.
    Process,
    /// Who reads the results.
    Serve,
}

/// A rate of something named, against a topic.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Client id.
    pub name: String,
    /// Topic.
    pub topic: String,
    /// Records a second.
    pub records_per_s: f64,
}

/// What the graph is drawn from.
#[derive(Debug)]
pub struct StreamInputs<'a> {
    /// Producing clients.
    pub producers: &'a [Flow],
    /// Records a second into each topic that is not internal.
    pub topics_in: &'a BTreeMap<String, f64>,
    /// Jobs.
    pub jobs: &'a [JobView],
    /// Consumer groups, those of jobs left out.
    pub groups: &'a [GroupView],
    /// Topics that live queries read.
    pub live_reads: &'a [String],
}

/// Draws the graph. A topic that a job writes stands in the job's node: the
/// job's link goes straight to those who read its result.
pub fn stream(inputs: &StreamInputs<'_>) -> Stream {
    let mut graph = Builder::default();
    let written: BTreeMap<&str, &JobView> = inputs
        .jobs
        .iter()
        .map(|j| (j.sink_topic.as_str(), j))
        .collect();
    for flow in inputs
        .producers
        .iter()
        .filter(|f| !written.contains_key(f.topic.as_str()))
    {
        let from = graph.add(
            Layer::Collect,
            "c",
            &flow.name,
            flow.records_per_s,
            "ok",
            None,
        );
        let to = graph.topic(&flow.topic, inputs.topics_in);
        graph.link(&from, &to, flow.records_per_s);
    }
    for job in inputs
        .jobs
        .iter()
        .filter(|j| !matches!(j.state.as_str(), "stopped" | "finished"))
    {
        let node = graph.job(job);
        for topic in &job.source_topics {
            let from = match written.get(topic.as_str()) {
                Some(upstream) => graph.job(upstream),
                None => graph.topic(topic, inputs.topics_in),
            };
            let share = job.in_records_per_s / job.source_topics.len().max(1) as f64;
            graph.link(&from, &node, share);
        }
    }
    let quiet = |g: &&GroupView| matches!(g.state, GroupState::Idle | GroupState::Left);
    for group in inputs.groups.iter().filter(|g| !quiet(g)) {
        let node = graph.group(group);
        for topic in &group.topics {
            let from = source(&mut graph, topic, &written, inputs.topics_in);
            graph.link(
                &from,
                &node,
                group.consumes_per_s / group.topics.len().max(1) as f64,
            );
        }
    }
    for topic in inputs.live_reads {
        let rate = inputs.topics_in.get(topic).copied().unwrap_or(0.0);
        let node = graph.add(
            Layer::Serve,
            "s",
            "dashboards",
            rate,
            "ok",
            Some("/dashboards"),
        );
        let from = source(&mut graph, topic, &written, inputs.topics_in);
        graph.link(&from, &node, rate);
    }
    graph.finish()
}

fn source(
    graph: &mut Builder,
    topic: &str,
    written: &BTreeMap<&str, &JobView>,
    rates: &BTreeMap<String, f64>,
) -> String {
    match written.get(topic) {
        Some(job) => graph.job(job),
        None => graph.topic(topic, rates),
    }
}

#[derive(Default)]
struct Builder {
    nodes: BTreeMap<String, Node>,
    links: BTreeMap<(String, String), f64>,
}

impl Builder {
    /// Adds a node, or adds to the rate of one that is there and is a sum.
    fn add(
        &mut self,
        layer: Layer,
        prefix: &str,
        label: &str,
        records_per_s: f64,
        state: &'static str,
        link: Option<&str>,
    ) -> String {
        let id = format!("{prefix}:{label}");
        self.nodes
            .entry(id.clone())
            .and_modify(|n| n.records_per_s += records_per_s)
            .or_insert_with(|| Node {
                id: id.clone(),
                layer,
                label: label.to_owned(),
                records_per_s,
                state,
                link: link.map(str::to_owned),
                note: None,
            });
        id
    }

    fn topic(&mut self, topic: &str, rates: &BTreeMap<String, f64>) -> String {
        let id = format!("t:{topic}");
        if !self.nodes.contains_key(&id) {
            let rate = rates.get(topic).copied().unwrap_or(0.0);
            let link = page_link("topics", topic);
            self.add(
                Layer::Log,
                "t",
                topic,
                rate,
                if rate > 0.0 { "ok" } else { "idle" },
                Some(&link),
            );
        }
        id
    }

    fn job(&mut self, job: &JobView) -> String {
        let id = format!("j:{}", job.id);
        if !self.nodes.contains_key(&id) {
            let state = match job.state.as_str() {
                "running" => "ok",
                "failed" => "critical",
                "starting" => "transition",
                "restarting" => "warn",
                _ => "idle",
            };
            let link = page_link("jobs", &job.id);
            self.add(
                Layer::Process,
                "j",
                &job.id,
                job.in_records_per_s,
                state,
                Some(&link),
            );
        }
        id
    }

    fn group(&mut self, group: &GroupView) -> String {
        let link = page_link("groups", &group.group);
        let id = self.add(
            Layer::Serve,
            "g",
            &group.group,
            group.consumes_per_s,
            group.state.severity(),
            Some(&link),
        );
        if group.state == GroupState::Behind
            && let Some(node) = self.nodes.get_mut(&id)
        {
            node.note = Some(format!("{} s", group.lag_ms / 1_000));
        }
        id
    }

    fn link(&mut self, from: &str, to: &str, records_per_s: f64) {
        *self
            .links
            .entry((from.to_owned(), to.to_owned()))
            .or_default() += records_per_s;
    }

    /// Sorts, and sums up what is over [`LAYER_NODES_MAX`] in each layer.
    fn finish(self) -> Stream {
        let mut nodes: Vec<Node> = self.nodes.into_values().collect();
        nodes.sort_by(|a, b| {
            (a.layer.cmp(&b.layer))
                .then_with(|| b.records_per_s.total_cmp(&a.records_per_s))
                .then_with(|| a.id.cmp(&b.id))
        });
        let mut kept: Vec<Node> = Vec::new();
        let mut renamed: BTreeMap<String, String> = BTreeMap::new();
        for node in nodes {
            if kept.iter().filter(|n| n.layer == node.layer).count() < LAYER_NODES_MAX {
                kept.push(node);
                continue;
            }
            let rest = format!("rest:{:?}", node.layer);
            renamed.insert(node.id, rest.clone());
            match kept.iter_mut().find(|n| n.id == rest) {
                Some(sum) => sum.records_per_s += node.records_per_s,
                None => kept.push(Node {
                    id: rest,
                    label: String::new(),
                    link: None,
                    note: None,
                    state: "ok",
                    ..Node {
                        id: String::new(),
                        label: String::new(),
                        link: None,
                        note: None,
                        ..node
                    }
                }),
            }
        }
        let mut links: BTreeMap<(String, String), f64> = BTreeMap::new();
        for ((from, to), rate) in self.links {
            let name = |id: String| renamed.get(&id).cloned().unwrap_or(id);
            *links.entry((name(from), name(to))).or_default() += rate;
        }
        let links = links
            .into_iter()
            .map(|((from, to), records_per_s)| Link {
                from,
                to,
                records_per_s,
            })
            .collect();
        Stream { nodes: kept, links }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, from: &str) -> JobView {
        JobView {
            id: id.into(),
            state: "running".into(),
            source_topics: vec![from.into()],
            sink_topic: id.into(),
            in_records_per_s: 10.0,
            ..Default::default()
        }
    }

    #[test]
    fn records_flow_from_client_to_topic_to_job_to_dashboard() {
        let rates = BTreeMap::from([("orders".to_owned(), 10.0), ("by_region".to_owned(), 2.0)]);
        let producers = [Flow {
            name: "shop".into(),
            topic: "orders".into(),
            records_per_s: 10.0,
        }];
        let graph = stream(&StreamInputs {
            producers: &producers,
            topics_in: &rates,
            jobs: &[job("by_region", "orders")],
            groups: &[],
            live_reads: &["by_region".into()],
        });
        let links: Vec<_> = graph
            .links
            .iter()
            .map(|l| format!("{} {} {}", l.from, l.to, l.records_per_s))
            .collect();
        assert_eq!(
            links,
            [
                "c:shop t:orders 10",
                "j:by_region s:dashboards 2",
                "t:orders j:by_region 10"
            ]
        );
    }

    #[test]
    fn a_state_has_the_severity_that_the_ledger_gives_it() {
        use crate::health::{Severity, health};
        use crate::inputs::ProcessInput;
        for state in ["restarting", "failed", "starting", "running", "stopped"] {
            let jobs = [JobView {
                state: state.into(),
                ..job("j", "t")
            }];
            let ledger = health(&[], &[], &jobs, &ProcessInput::default());
            let drawn = stream(&StreamInputs {
                producers: &[],
                topics_in: &BTreeMap::new(),
                jobs: &jobs,
                groups: &[],
                live_reads: &[],
            });
            let drawn = drawn.nodes.iter().find(|n| n.id == "j:j").map(|n| n.state);
            let expected = match ledger.deductions.first().map(|d| d.severity) {
                Some(Severity::Critical) => Some("critical"),
                Some(Severity::Warn) => Some("warn"),
                None => drawn.filter(|drawn| !matches!(*drawn, "warn" | "critical")),
            };
            assert_eq!(drawn, expected, "{state}");
        }
    }

    #[test]
    fn a_wide_layer_is_summed_up() {
        let rates: BTreeMap<String, f64> = (0..20)
            .map(|i| (format!("t{i:02}"), f64::from(i)))
            .collect();
        let jobs: Vec<_> = (0..20)
            .map(|i| job(&format!("j{i:02}"), &format!("t{i:02}")))
            .collect();
        let graph = stream(&StreamInputs {
            producers: &[],
            topics_in: &rates,
            jobs: &jobs,
            groups: &[],
            live_reads: &[],
        });
        for layer in [Layer::Log, Layer::Process] {
            assert_eq!(
                graph.nodes.iter().filter(|n| n.layer == layer).count(),
                LAYER_NODES_MAX + 1
            );
        }
    }
}
