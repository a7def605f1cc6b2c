//! The arguments that came for a step, of all times that its event came while they were not what it
//! waits for.

use serde_json::Value;

/// Bytes of memory that a step keeps of them, at most.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// What came, until it is too much: then it begins anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    arguments: Vec<Value>,
    /// All of them put together, where that is what is looked at.
    joined: String,
    /// About how many bytes of memory these are.
    bytes: usize,
    /// Whether any came, kept or not.
    has_come: bool,
}

impl Heard {
    /// These alone.
    pub(crate) fn of(arguments: Vec<Value>, is_joined: bool) -> Self {
        let mut heard = Self::default();
        heard.hear(arguments, is_joined);
        heard
    }

    /// Adds those of one more event; what came before goes where both are more than is kept.
    pub(crate) fn hear(&mut self, arguments: Vec<Value>, is_joined: bool) {
        let mut joined = String::new();
        if is_joined {
            for argument in &arguments {
                join(&mut joined, argument);
            }
        }
        let bytes = arguments.iter().map(weight).sum::<usize>() + joined.len();
        if self.bytes + bytes > KEPT_BYTES_MAX {
            self.forget();
        }
        self.bytes += bytes;
        self.has_come |= !arguments.is_empty();
        self.joined.push_str(&joined);
        self.arguments.extend(arguments);
    }

    /// Keeps nothing of an event that is by itself more than is kept, once it has been judged.
    pub(crate) fn shrink(&mut self) {
        if self.bytes > KEPT_BYTES_MAX {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let has_come = self.has_come;
        *self = Self {
            has_come,
            ..Self::default()
        };
    }

    pub(crate) fn arguments(&self) -> &[Value] {
        &self.arguments
    }

    /// All arguments put together; empty where nobody wanted that.
    pub(crate) fn joined(&self) -> &str {
        &self.joined
    }

    /// Whether any arguments came, kept or not.
    pub(crate) const fn has_come(&self) -> bool {
        self.has_come
    }
}

/// About how many bytes of memory a value takes, with all that is in it.
fn weight(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| size_of::<String>() + key.len() + weight(value))
            .sum(),
        _ => 0,
    };
    size_of::<Value>() + inside
}

/// Puts an argument behind others, as `concat` does.
fn join(joined: &mut String, value: &Value) {
    match value {
        Value::String(text) => joined.push_str(text),
        Value::Null => {}
        other => joined.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(value: Value) -> Vec<Value> {
        match value {
            Value::Array(items) => items,
            other => panic!("{other} is no list"),
        }
    }

    #[test]
    fn all_that_came_is_kept_and_joined_where_that_is_wanted() {
        let mut heard = Heard::default();
        assert!(!heard.has_come());
        heard.hear(list(json!(["a", null])), true);
        heard.hear(list(json!([1, {"b": "c"}])), true);
        assert_eq!(heard.arguments(), list(json!(["a", null, 1, {"b": "c"}])));
        assert_eq!(heard.joined(), "a1{\"b\":\"c\"}");
        heard.shrink();
        assert_eq!(heard.arguments().len(), 4, "it is little");
        assert_eq!(Heard::of(list(json!(["a"])), false).joined(), "");
    }

    #[test]
    fn no_more_is_kept_than_its_bytes_of_memory_however_small_the_arguments_are() {
        for (event, is_joined) in [
            (json!([1]), false),
            (json!([1]), true),
            (json!([[1, 2, 3, {"a": null}]]), false),
            (json!(["x".repeat(1000)]), true),
        ] {
            let mut heard = Heard::default();
            let (mut most, mut is_forgotten) = (0, false);
            for _ in 0..10_000 {
                let before = heard.arguments.len();
                heard.hear(list(event.clone()), is_joined);
                is_forgotten |= heard.arguments.len() <= before;
                let kept = heard.arguments.iter().map(weight).sum::<usize>() + heard.joined.len();
                most = most.max(kept);
            }
            assert!(is_forgotten, "{event}");
            assert!(most <= KEPT_BYTES_MAX, "{most} bytes of {event}");
            assert!(most > KEPT_BYTES_MAX / 3, "{most} bytes of {event}");
        }
    }

    #[test]
    fn an_event_that_is_too_much_is_judged_alone_and_not_kept() {
        let mut heard = Heard::default();
        heard.hear(list(json!(["before"])), true);
        heard.hear(list(json!(["x".repeat(KEPT_BYTES_MAX)])), true);
        assert_eq!(heard.arguments().len(), 1);
        assert_eq!(heard.joined().len(), KEPT_BYTES_MAX);
        heard.shrink();
        assert!(heard.arguments().is_empty() && heard.joined().is_empty());
        assert_eq!(heard.joined.capacity() + heard.arguments.capacity(), 0);
        assert!(heard.has_come(), "that something came is not forgotten");
        // Many small ones are too much, too.
        heard.hear(vec![json!(1); 32 << 10], false);
        heard.shrink();
        assert!(heard.arguments().is_empty());
    }
}
