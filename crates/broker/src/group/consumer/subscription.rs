//! What a group subscribes to: topics by name, topics by pattern, and a hash
//! that tells when one of them has changed.

use super::assignor::{Demand, MemberDemand};
use super::machine::ConsumerGroup;
use super::member::ConsumerMember;
use super::records::{ConsumerRecord, ResolvedRegex};
use super::topics::TopicsImage;
use crate::group::error::GroupError;
use crate::group::machine::Now;
use regex::{Regex, RegexBuilder};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Longest pattern, in bytes. Kafka has no bound of its own.
pub(super) const REGEX_BYTES_MAX: usize = 4096;
/// Bytes that a compiled pattern may take: `a{1000}{1000}` is not for free.
const REGEX_COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// The topics of the patterns in use, by pattern.
pub(super) type Regexes = BTreeMap<String, ResolvedRegex>;

/// Compiles a member's pattern, which is to match whole names.
///
/// Kafka compiles with RE2/J; the syntax of the `regex` crate is RE2's too
/// (no look-around, no back-references, linear time), but for `\Q...\E`,
/// which Java's `Pattern.quote` writes and which is translated here.
pub(super) fn compile(pattern: &str) -> Result<Regex, GroupError> {
    let refuse = |reason: String| {
        tracing::debug!(pattern, reason, "a pattern is refused");
        GroupError::InvalidRegularExpression
    };
    if pattern.len() > REGEX_BYTES_MAX {
        return Err(refuse("it is too long".into()));
    }
    let pattern = unquoted(pattern);
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(REGEX_COMPILED_BYTES_MAX)
            .dfa_size_limit(REGEX_COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| refuse(error.to_string()))
    };
    // By itself first: `a)|(b` must not become right by what is put around.
    build(&pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

/// The pattern with `\Q...\E` written as escaped characters.
fn unquoted(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        if let Some(quoted) = escape.strip_prefix(r"\Q") {
            let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            plain.push_str(&regex::escape(literal));
            rest = after;
        } else {
            let end = escape.chars().take(2).map(char::len_utf8).sum();
            plain.push_str(&escape[..end]);
            rest = &escape[end..];
        }
    }
    plain.push_str(rest);
    plain
}

fn matching(pattern: &str, topics: &dyn TopicsImage) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // A pattern was compiled when its member joined. One that a log holds and
    // that this version cannot read stands for no topic.
    if let Ok(regex) = compile(pattern) {
        topics.for_each_name(&mut |name| {
            if regex.is_match(name) {
                names.insert(name.to_owned());
            }
        });
    }
    names
}

impl ConsumerGroup {
    /// The members as they will be: with `changed` in its new form and
    /// without those named.
    pub(super) fn members_with<'a>(
        &'a self,
        changed: Option<&'a ConsumerMember>,
        without: &[String],
    ) -> Vec<&'a ConsumerMember> {
        let mut members: BTreeMap<&str, &ConsumerMember> = self
            .members
            .iter()
            .filter(|(id, _)| !without.contains(id))
            .map(|(id, member)| (id.as_str(), member))
            .collect();
        if let Some(changed) = changed {
            members.insert(&changed.id, changed);
        }
        members.into_values().collect()
    }

    /// The topics of the patterns that `members` subscribe with, and the
    /// records of those that have changed or are no longer used.
    pub(super) fn resolve(
        &self,
        members: &[&ConsumerMember],
        topics: &dyn TopicsImage,
        now: Now,
    ) -> (Regexes, Vec<ConsumerRecord>) {
        let is_current = self.topics_seen == Some(topics.version());
        let (mut resolved, mut records) = (Regexes::new(), Vec::new());
        let patterns: BTreeSet<&String> = members
            .iter()
            .filter_map(|member| member.metadata.regex.as_ref())
            .collect();
        for pattern in patterns {
            let known = self.regexes.get(pattern);
            if let Some(known) = known.filter(|_| is_current) {
                resolved.insert(pattern.clone(), known.clone());
                continue;
            }
            let names = matching(pattern, topics);
            let value = match known {
                Some(known) if known.topics == names => known.clone(),
                _ => {
                    let value = ResolvedRegex {
                        topics: names,
                        version: topics.version(),
                        timestamp_ms: now.wall_ms,
                    };
                    records.push(ConsumerRecord::Regex {
                        pattern: pattern.clone(),
                        value: Some(value.clone()),
                    });
                    value
                }
            };
            resolved.insert(pattern.clone(), value);
        }
        let unused = self.regexes.keys().filter(|p| !resolved.contains_key(*p));
        records.extend(unused.map(|pattern| ConsumerRecord::Regex {
            pattern: pattern.clone(),
            value: None,
        }));
        (resolved, records)
    }

    /// Whether a member wants the topic.
    pub fn subscribes_to(&self, topic: &str) -> bool {
        self.members
            .values()
            .any(|member| wanted(member, &self.regexes).any(|name| name == topic))
    }
}

/// The topics that a member wants, by name and by pattern; some may come
/// twice.
pub(super) fn wanted<'a>(
    member: &'a ConsumerMember,
    regexes: &'a Regexes,
) -> impl Iterator<Item = &'a String> {
    let by_pattern = member.metadata.regex.as_ref().and_then(|p| regexes.get(p));
    let by_pattern = by_pattern.into_iter().flat_map(|regex| &regex.topics);
    member.metadata.topics.iter().chain(by_pattern)
}

/// A hash over the topics that the members want, as they are now: 0 when
/// there are none. It is kept in the group's record, so a broker that starts
/// again does not take known topics for new ones.
pub(super) fn metadata_hash(
    members: &[&ConsumerMember],
    regexes: &Regexes,
    topics: &dyn TopicsImage,
) -> i64 {
    let names: BTreeSet<&String> = members.iter().flat_map(|m| wanted(m, regexes)).collect();
    let mut hash = Fnv::default();
    let mut is_any = false;
    for name in names {
        let Some((id, partitions)) = topics.topic(name) else {
            continue;
        };
        is_any = true;
        hash.add(name.as_bytes());
        hash.add(&[0]);
        hash.add(id.as_bytes());
        hash.add(&partitions.to_be_bytes());
    }
    if is_any { hash.finish() } else { 0 }
}

/// FNV-1a, 64 bit: the same in every version and on every machine.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(self) -> i64 {
        i64::from_be_bytes(self.0.to_be_bytes())
    }
}

/// What the assignor is to know.
pub(super) fn demand<'a>(
    members: &[&'a ConsumerMember],
    regexes: &Regexes,
    topics: &dyn TopicsImage,
    target: impl Fn(&str) -> &'a super::Assignment,
) -> Demand<'a> {
    let mut found: BTreeMap<&String, Option<Uuid>> = BTreeMap::new();
    let mut demand = Demand::default();
    for member in members {
        let mut ids = BTreeSet::new();
        for name in wanted(member, regexes) {
            let id = *found.entry(name).or_insert_with(|| {
                let (id, partitions) = topics.topic(name)?;
                demand.topics.insert(id, partitions);
                Some(id)
            });
            ids.extend(id);
        }
        demand.members.push(MemberDemand {
            id: &member.id,
            instance_id: member.metadata.instance_id.as_deref(),
            topics: ids,
            target: target(&member.id),
        });
    }
    demand
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        compile(pattern).unwrap().is_match(name)
    }

    #[test]
    fn patterns_match_whole_names_as_re2j_does() {
        assert!(matches("ord.*", "orders") && !matches("ord", "orders"));
        assert!(matches("a|ab", "ab"), "not the first alternative only");
        assert!(matches("(?i)ORDERS", "orders"));
        assert!(matches(r"\Qa.b\E.*", "a.b-1") && !matches(r"\Qa.b\E", "axb"));
        assert!(matches(r"a\\Q", r"a\Q"), "an escaped backslash is no quote");
        assert!(matches("[[:alpha:]]+-[0-9]{2}", "abc-12"));
    }

    #[test]
    fn patterns_that_are_wrong_or_too_large_are_refused() {
        let long = "a".repeat(REGEX_BYTES_MAX + 1);
        for pattern in [
            "(",
            "a)|(b",
            "[z-a]",
            "(?=x)",
            r"(a)\1",
            "a{1000}{1000}",
            &long,
        ] {
            let refused = compile(pattern).map(|_| ());
            assert_eq!(
                refused,
                Err(GroupError::InvalidRegularExpression),
                "{pattern}"
            );
        }
    }
}
