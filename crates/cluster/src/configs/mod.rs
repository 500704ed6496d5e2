//! ONE table of Kafka's settings for topics, groups and brokers: name, type, default,
//! what is accepted, what it does.
//!
//! A setting in the table is honoured. A setting of Kafka's that is not in
//! the table, or a value that would do nothing, is refused with the reason,
//! so DescribeConfigs never tells of something that is not so. Past this
//! module settings are typed ([`TopicSettings`], [`GroupSettings`],
//! [`BrokerSettings`]).

mod check;
mod settings;
mod table;

pub use check::{Check, ConfigError};
pub use settings::{BrokerSettings, GroupSettings, TopicSettings};
pub use table::{BROKER_CONFIGS, GROUP_CONFIGS, TOPIC_CONFIGS};

use crate::command::{ConfigChange, ConfigOp, Refusal};
use crate::image::{ConfigMap, MetadataImage, Topic};
use millstream_core::ids::BrokerId;

/// The type of a value, as DescribeConfigs (v3) tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// 32 bit.
    Int,
    /// 16 bit.
    Short,
    /// 64 bit.
    Long,
    /// With a fraction.
    Double,
    /// Comma separated.
    List,
}

/// One setting.
#[derive(Debug)]
pub struct ConfigDef {
    /// Kafka's name.
    pub name: &'static str,
    /// Type of its value.
    pub kind: ConfigType,
    /// Value when nobody set it.
    pub default: &'static str,
    /// What is accepted.
    pub check: Check,
    /// For a setting of a topic or group: the broker setting that gives its
    /// default.
    pub broker_synonym: Option<&'static str>,
    /// Whether its value is hidden from DescribeConfigs.
    pub sensitive: bool,
    /// Whether it can be changed while the broker runs; else only its
    /// configuration file sets it.
    pub dynamic: bool,
    /// What it does.
    pub doc: &'static str,
}

/// Where a value comes from; later in this list is weaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic,
    /// Set on the group.
    DynamicGroup,
    /// Set on this broker at run time.
    DynamicBroker,
    /// Set on all brokers at run time.
    DynamicDefaultBroker,
    /// From the configuration file or command line.
    StaticBroker,
    /// Nobody set it.
    Default,
}

/// One place that has a value for a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigValue {
    /// The name under which it is set there.
    pub name: &'static str,
    /// The value.
    pub value: String,
    /// The place.
    pub source: ConfigSource,
}

/// A setting and all places that have a value for it, the one in force first;
/// never empty.
#[derive(Debug)]
pub struct ResolvedConfig {
    /// The setting.
    pub def: &'static ConfigDef,
    /// Its values.
    pub values: Vec<ConfigValue>,
}

impl ResolvedConfig {
    /// The value in force.
    pub fn value(&self) -> &str {
        self.values.first().map_or(self.def.default, |v| &v.value)
    }

    /// Where the value in force comes from.
    pub fn source(&self) -> ConfigSource {
        self.values
            .first()
            .map_or(ConfigSource::Default, |v| v.source)
    }
}

/// Reads settings as they are in force on one broker.
#[derive(Clone, Copy, Debug)]
pub struct ConfigView<'a> {
    /// The metadata.
    pub image: &'a MetadataImage,
    /// The broker.
    pub broker: BrokerId,
    /// Broker settings from its configuration file, checked with
    /// [`check_broker_configs`].
    pub statics: &'a ConfigMap,
}

impl ConfigView<'_> {
    /// A topic's setting.
    pub fn topic(&self, configs: &ConfigMap, def: &'static ConfigDef) -> ResolvedConfig {
        self.own_or_broker(configs, ConfigSource::DynamicTopic, def)
    }

    /// A group's setting.
    pub fn group(&self, configs: &ConfigMap, def: &'static ConfigDef) -> ResolvedConfig {
        self.own_or_broker(configs, ConfigSource::DynamicGroup, def)
    }

    fn own_or_broker(
        &self,
        configs: &ConfigMap,
        source: ConfigSource,
        def: &'static ConfigDef,
    ) -> ResolvedConfig {
        let mut values = Vec::new();
        if let Some(value) = configs.get(def.name) {
            values.push(ConfigValue {
                name: def.name,
                value: value.clone(),
                source,
            });
        }
        match def.broker_synonym.and_then(broker_config) {
            Some(broker) => values.extend(self.broker(broker).values),
            None => values.push(default_of(def)),
        }
        ResolvedConfig { def, values }
    }

    /// A broker's setting.
    pub fn broker(&self, def: &'static ConfigDef) -> ResolvedConfig {
        let places = [
            (
                self.image.broker_configs(self.broker),
                ConfigSource::DynamicBroker,
            ),
            (
                Some(&**self.image.cluster_configs()),
                ConfigSource::DynamicDefaultBroker,
            ),
            (Some(self.statics), ConfigSource::StaticBroker),
        ];
        let mut values: Vec<ConfigValue> = places
            .into_iter()
            .filter_map(|(configs, source)| {
                let value = configs?.get(def.name)?.clone();
                Some(ConfigValue {
                    name: def.name,
                    value,
                    source,
                })
            })
            .collect();
        values.push(default_of(def));
        ResolvedConfig { def, values }
    }

    /// A topic's settings, typed.
    pub fn topic_settings(&self, topic: &Topic) -> TopicSettings {
        TopicSettings::read(self, &topic.configs)
    }

    /// A group's settings, typed.
    pub fn group_settings(&self, group_id: &str) -> GroupSettings {
        GroupSettings::read(self, group_id)
    }

    /// Checks settings for a group, which must lie within the bounds that the
    /// broker has for its own.
    pub fn check_group_configs(&self, configs: &ConfigMap) -> Result<(), ConfigError> {
        for (name, value) in configs {
            let def = group_config(name).ok_or_else(|| ConfigError::unknown("group", name))?;
            def.check_value(value)?;
            let bounds = BOUNDED
                .iter()
                .find(|bounded| Some(bounded.name) == def.broker_synonym);
            let in_force = |name: &str| {
                let def = broker_config(name);
                def.map(|def| self.broker(def).value().to_owned())
                    .unwrap_or_default()
            };
            if let Some(bounds) = bounds {
                bounds.check_value(def.name, value, &in_force)?;
            }
        }
        Ok(())
    }

    /// The broker's settings, typed.
    pub fn broker_settings(&self) -> BrokerSettings {
        BrokerSettings::read(self)
    }
}

fn default_of(def: &'static ConfigDef) -> ConfigValue {
    ConfigValue {
        name: def.name,
        value: def.default.to_owned(),
        source: ConfigSource::Default,
    }
}

/// The topic setting of this name.
pub fn topic_config(name: &str) -> Option<&'static ConfigDef> {
    TOPIC_CONFIGS.iter().find(|def| def.name == name)
}

/// The group setting of this name.
pub fn group_config(name: &str) -> Option<&'static ConfigDef> {
    GROUP_CONFIGS.iter().find(|def| def.name == name)
}

/// The broker setting of this name.
pub fn broker_config(name: &str) -> Option<&'static ConfigDef> {
    BROKER_CONFIGS.iter().find(|def| def.name == name)
}

/// Checks settings for a topic.
pub fn check_topic_configs(configs: &ConfigMap) -> Result<(), ConfigError> {
    configs.iter().try_for_each(|(name, value)| {
        let def = topic_config(name).ok_or_else(|| ConfigError::unknown("topic", name))?;
        def.check_value(value)
    })?;
    let lag = |name: &str| configs.get(name)?.trim().parse::<i64>().ok();
    match (lag(MIN_COMPACTION_LAG), lag(MAX_COMPACTION_LAG)) {
        (Some(min), Some(max)) if min > max => Err(ConfigError::Invalid {
            name: MIN_COMPACTION_LAG,
            value: min.to_string(),
            expected: format!("at most {MAX_COMPACTION_LAG} ({max})"),
        }),
        _ => Ok(()),
    }
}

const MIN_COMPACTION_LAG: &str = "min.compaction.lag.ms";
const MAX_COMPACTION_LAG: &str = "max.compaction.lag.ms";

/// Settings of a topic as they are kept: lists without blanks and repetitions,
/// so that who compares what is described with what was asked for finds the
/// same whatever it looked like.
pub fn canonical(mut configs: ConfigMap) -> ConfigMap {
    for (name, value) in &mut configs {
        *value = canonical_value(topic_config(name), value);
    }
    configs
}

/// See [`canonical`].
pub fn canonical_value(def: Option<&ConfigDef>, value: &str) -> String {
    if def.is_none_or(|def| def.kind != ConfigType::List) {
        return value.to_owned();
    }
    let mut once = Vec::new();
    for element in crate::machine::elements(value) {
        if !once.contains(&element) {
            once.push(element);
        }
    }
    once.join(",")
}

/// Checks settings for a broker.
pub fn check_broker_configs(configs: &ConfigMap) -> Result<(), ConfigError> {
    configs.iter().try_for_each(|(name, value)| {
        let def = broker_config(name).ok_or_else(|| ConfigError::unknown("broker", name))?;
        def.check_value(value)
    })?;
    BOUNDED
        .iter()
        .try_for_each(|bounded| bounded.check(configs))
}

/// A setting that lies between two others.
struct Bounded {
    name: &'static str,
    min: &'static str,
    max: &'static str,
}

const BOUNDED: &[Bounded] = &[
    Bounded {
        name: "group.consumer.heartbeat.interval.ms",
        min: "group.consumer.min.heartbeat.interval.ms",
        max: "group.consumer.max.heartbeat.interval.ms",
    },
    Bounded {
        name: "group.consumer.session.timeout.ms",
        min: "group.consumer.min.session.timeout.ms",
        max: "group.consumer.max.session.timeout.ms",
    },
];

impl Bounded {
    fn check(&self, configs: &ConfigMap) -> Result<(), ConfigError> {
        let text = |name: &str| {
            let set = configs.get(name).cloned();
            set.or_else(|| broker_config(name).map(|def| def.default.to_owned()))
                .unwrap_or_default()
        };
        self.check_value(self.name, &text(self.name), &text)
    }

    /// Whether `value` of `name` lies between the bounds that `text` gives.
    fn check_value(
        &self,
        name: &'static str,
        value: &str,
        text: &impl Fn(&str) -> String,
    ) -> Result<(), ConfigError> {
        let number = |text: &str| text.trim().parse::<i64>().unwrap_or_default();
        let (min, max) = (text(self.min), text(self.max));
        if (number(&min)..=number(&max)).contains(&number(value)) {
            return Ok(());
        }
        Err(ConfigError::Invalid {
            name,
            value: value.to_owned(),
            expected: format!("between {} ({min}) and {} ({max})", self.min, self.max),
        })
    }
}

/// What settings would be after `changes`, to be checked before they are
/// proposed. `def_of` is [`topic_config`],
/// [`group_config`] or [`broker_config`].
pub fn preview(
    current: &ConfigMap,
    changes: &[ConfigChange],
    def_of: fn(&str) -> Option<&'static ConfigDef>,
) -> Result<ConfigMap, ConfigError> {
    for change in changes {
        // Deleting what is not set changes nothing, whatever its name: Kafka's
        // tools clear replication throttles without asking for them.
        if matches!(change.op, ConfigOp::Delete) && !current.contains_key(&change.name) {
            continue;
        }
        let def =
            def_of(&change.name).ok_or_else(|| ConfigError::unknown("resource", &change.name))?;
        if !def.dynamic {
            return Err(ConfigError::NotDynamic { name: def.name });
        }
        let on_list = matches!(change.op, ConfigOp::Append(_) | ConfigOp::Subtract(_));
        if on_list && def.kind != ConfigType::List {
            return Err(ConfigError::NotAList { name: def.name });
        }
    }
    crate::machine::changed(current, changes.to_vec())
        .map_err(|refusal: Refusal| ConfigError::TooMany(refusal.to_string()))
}

#[cfg(test)]
mod tests;
