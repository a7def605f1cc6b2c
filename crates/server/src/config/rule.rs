//! A channel without code: who may join a topic, and what becomes of what a member pushes.

use proto::phoenix::is_reserved_event;

use super::{
    kind::{Bytes, Choice, List, Or, Switch, Text},
    setting::settings,
};

settings! {
    /// One rule of the built-in channel.
    Rule {
        /// The topics that it is about: one name, or with `*` at its end all that begin so.
        topic: String = String::new(), TOPIC;

        /// Who may join: `"all"`, `"none"`, or `"socket_id"` for those whose socket's id is the
        /// part of the topic that `*` stands for.
        join: Join = Join::All, Choice(&[
            ("all", Join::All),
            ("none", Join::None),
            ("socket_id", Join::SocketId),
        ]);

        /// What becomes of a push: `"broadcast"` to all members, `"broadcast_from"` to all but the
        /// sender, `"reply"` returns its payload to the sender alone, `"refuse"` answers an error.
        push: Push = Push::Broadcast, Choice(&[
            ("broadcast", Push::Broadcast),
            ("broadcast_from", Push::BroadcastFrom),
            ("reply", Push::Reply),
            ("refuse", Push::Refuse),
        ]);

        /// Whether a push that was broadcast is also answered, with "ok" and an empty payload.
        reply: bool = true, Switch;

        /// How long the payload of a push may be.
        ///
        /// `"auto"` is as long as a message.
        payload_bytes_max: Option<u64> = None,
            Or { kind: Bytes { min: 2, max: 1 << 30 }, word: "auto" };

        /// Which events may be pushed; others are answered with an error.
        events: Option<Vec<String>> = None, Or { kind: EVENTS, word: "all" };
    }
}

/// Who may join a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Everyone.
    All,
    /// Nobody.
    None,
    /// Those whose socket's id is the part of the topic that `*` stands for.
    SocketId,
}

/// What becomes of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// It goes to all members.
    Broadcast,
    /// It goes to all members but the sender.
    BroadcastFrom,
    /// Its payload is returned to the sender.
    Reply,
    /// It is answered with an error.
    Refuse,
}

/// Every join looks through the rules.
pub(super) const RULES_MAX: usize = 1_000;

/// The rules when the file has none: rooms for everyone.
pub(super) fn default_rules() -> Vec<Rule> {
    vec![Rule {
        topic: "room:*".to_owned(),
        ..Rule::default()
    }]
}

impl Rule {
    /// Whether the rule is about this topic.
    pub fn matches(&self, topic: &str) -> bool {
        self.matched_part(topic).is_some()
    }

    /// The part of a topic that `*` stands for, empty when the rule has none; `None` when the rule
    /// is not about this topic.
    pub fn matched_part<'t>(&self, topic: &'t str) -> Option<&'t str> {
        match self.topic.strip_suffix('*') {
            Some(prefix) => topic.strip_prefix(prefix),
            None => (topic == self.topic).then_some(""),
        }
    }

    /// Whether members may push this event.
    pub fn allows_event(&self, event: &str) -> bool {
        let allowed = |events: &Vec<String>| events.iter().any(|allowed| allowed == event);
        self.events.as_ref().is_none_or(allowed)
    }

    /// Whether every topic of `other` is a topic of this rule, too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self.topic.strip_suffix('*'), other.topic.strip_suffix('*')) {
            (Some(prefix), _) => other
                .topic
                .strip_suffix('*')
                .unwrap_or(&other.topic)
                .starts_with(prefix),
            (None, Some(_)) => false,
            (None, None) => self.topic == other.topic,
        }
    }
}

const TOPIC: Text = Text {
    placeholder: "TOPIC",
    expected: "a topic of 1 to 255 bytes with * only at its end, such as \"room:*\"",
    allows: |text| {
        let name = text.strip_suffix('*').unwrap_or(text);
        (1..=255).contains(&text.len()) && !name.chars().any(|c| c.is_control() || c == '*')
    },
};

const EVENTS: List = List {
    item: Text {
        placeholder: "EVENT",
        expected: "1 to 255 bytes and not one of Phoenix's own, such as [\"new_msg\"]",
        allows: |text| (1..=255).contains(&text.len()) && !is_reserved_event(text),
    },
    items_max: 1_000,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(topic: &str) -> Rule {
        Rule {
            topic: topic.to_owned(),
            ..Rule::default()
        }
    }

    #[test]
    fn a_star_stands_for_the_rest() {
        assert_eq!(rule("room:*").matched_part("room:1"), Some("1"));
        assert_eq!(rule("room:*").matched_part("room:"), Some(""));
        assert_eq!(rule("room:*").matched_part("rooms"), None);
        assert_eq!(rule("*").matched_part("any"), Some("any"));
        assert_eq!(rule("room").matched_part("room"), Some(""));
        assert!(!rule("room").matches("room:1"));
    }

    #[test]
    fn a_rule_covers_what_it_takes_from_later_ones() {
        for (first, later, covers) in [
            ("room:*", "room:*", true),
            ("room:*", "room:a", true),
            ("room:*", "room:a:*", true),
            ("room:*", "room*", false),
            ("*", "a", true),
            ("a", "a", true),
            ("a", "a*", false),
            ("a", "b", false),
        ] {
            assert_eq!(rule(first).covers(&rule(later)), covers, "{first} {later}");
        }
    }
}
