//! Topics: the largest, the busiest, those that match a pattern, and one by itself.

#![allow(unused_qualifications, reason = "utoipa writes its paths out")]

use std::sync::Arc;

use axum::{Json, extract::State as Held};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    super::{
        board::{Listed, Rate},
        problem::{Asking, Kind, Problem},
        state::State,
    },
    connections::{Connection, LIMIT, Limit},
    cursor::Cursor,
    input::{Asked, Named},
    search,
};
use crate::{
    control::Control,
    question::{Pattern, Search},
};

/// How long a search may be: the longest topic and a `*`.
const SEARCH_CHARS_MAX: usize = 256;

/// Which topics.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TopicsAsked {
    /// Topics with this name; a `*` at its end stands for the rest. All topics that match are found, page by page.
    #[param(min_length = 1, max_length = 256, example = "room:*")]
    search: Option<String>,
    /// Without a search: those with most members, or those most is sent to.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = u8, minimum = 1, maximum = 100, default = 100)]
    limit: Limit,
    /// Where to go on: `next` of the page before. Only with a search.
    #[param(value_type = Option<String>, pattern = "^[0-9a-f]{12}$")]
    cursor: Option<Cursor>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Sort {
    /// Most members.
    #[default]
    Members,
    /// Most messages per second.
    Rate,
}

/// Topics.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Topics {
    topics: Vec<Topic>,
    /// How they were found. `census`: those that were among the 100 largest of a shard when it was looked through.
    /// `sketch`: those that a count of 128 names on each shard has kept. `search`: all that match, a page.
    #[schema(example = "census")]
    from: &'static str,
    /// How many seconds ago the oldest figure that chose them was read; null before the first look has ended.
    /// The members are counted now.
    as_of_s: Option<f64>,
    /// Whether these are all there are, or all that match.
    complete: bool,
    /// The cursor of the next page; null after the last.
    #[schema(value_type = Option<String>)]
    next: Option<Cursor>,
}

/// A topic.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Topic {
    #[schema(example = "room:lobby")]
    topic: String,
    /// Members now, exactly.
    members: usize,
    /// Messages per second over about ten seconds, at most; null when it is not among the busiest.
    messages_per_s: Option<f64>,
    /// Members reached per second, at least; null when it is not among the busiest.
    deliveries_per_s: Option<f64>,
    /// By how much `messages_per_s` may be too high; null when there is none.
    error: Option<f64>,
}

/// A topic by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicAlone {
    #[serde(flatten)]
    topic: Topic,
    /// The first page of its members; the next is at `/api/v1/connections?topic=…&cursor=…`.
    connections: Vec<Connection>,
    /// The cursor of the next page of members; null after the last.
    #[schema(value_type = Option<String>)]
    next: Option<Cursor>,
}

/// Lists topics.
///
/// Never looks at all topics at once: without a search it lists what the regular look through the tables has
/// found and counts the members of those; with one it looks through a bounded part of the tables at a time,
/// so a page may be short, or empty, and have a next one.
#[utoipa::path(get, path = "/topics", tag = "topics", params(TopicsAsked), responses(
    (status = 200, description = "A page of topics, the largest or busiest first", body = Topics),
    Asking,
))]
pub(crate) async fn topics(
    Held(state): Held<State>,
    Asked(asked): Asked<TopicsAsked>,
) -> Result<Json<Topics>, Problem> {
    let limit = asked.limit.0.into();
    if let Some(pattern) = &asked.search {
        if !(1..=SEARCH_CHARS_MAX).contains(&pattern.chars().count()) {
            let detail = format!(
                "a search has 1 to {SEARCH_CHARS_MAX} characters; leave it out for the largest topics"
            );
            return Err(Problem::new(Kind::BadParameter, detail));
        }
        let from = asked.cursor.unwrap_or_default();
        return found(&state, &Pattern::new(pattern), from, limit).await;
    }
    if asked.cursor.is_some() {
        let detail = "a cursor goes with a search: without one there is a single page";
        return Err(Problem::new(Kind::BadParameter, detail));
    }
    let observatory = &state.observatory;
    let (listed, from): (Listed<Arc<str>>, _) = match asked.sort {
        Sort::Members => (
            observatory.read_board(|board| board.largest(limit)),
            "census",
        ),
        Sort::Rate => {
            let busiest = observatory.read_board(|board| board.busiest(limit));
            let items = busiest.items.into_iter().map(|(topic, _)| topic);
            let listed = Listed {
                items: items.collect(),
                age: busiest.age,
                is_complete: busiest.is_complete,
            };
            (listed, "sketch")
        }
    };
    let members = search::members(&state.control, &listed.items).await?;
    let members = members.into_iter().map(|members| members.count);
    let mut topics = with_rates(&state, listed.items.into_iter().zip(members));
    match asked.sort {
        Sort::Members => topics.sort_by_key(|topic| std::cmp::Reverse(topic.members)),
        // They are in this order, and their rates may have changed since by no more than a second's.
        Sort::Rate => {}
    }
    Ok(Json(Topics {
        topics,
        from,
        as_of_s: listed.age.map(|age| age.as_secs_f64()),
        complete: listed.is_complete,
        next: None,
    }))
}

/// Shows a topic and its first members.
///
/// A topic without members is one that nobody has joined: it is answered with 0, since topics begin and end
/// with their members.
#[utoipa::path(get, path = "/topics/{topic}", tag = "topics", params(
    ("topic" = String, Path, description = "Its name, with / and other special characters written as %XX", min_length = 1, example = "room:lobby"),
), responses(
    (status = 200, description = "The topic", body = TopicAlone),
    Asking,
))]
pub(crate) async fn topic(
    Held(state): Held<State>,
    Named(name): Named,
) -> Result<Json<TopicAlone>, Problem> {
    let name: Arc<str> = name.into();
    let names = [Arc::clone(&name)];
    let members = search::members(&state.control, &names).await?;
    let count = members.first().map_or(0, |members| members.count);
    let sought = Search::Topic(Arc::clone(&name));
    let found = search::conns(&state.control, &sought, Cursor::default(), LIMIT).await?;
    let rate = state.observatory.ask_board(|board| board.rate(&name));
    Ok(Json(TopicAlone {
        topic: Topic::new(&name, count, rate),
        connections: found.items.iter().map(Connection::of).collect(),
        next: found.next,
    }))
}

async fn found(
    state: &State,
    pattern: &Pattern,
    from: Cursor,
    limit: usize,
) -> Result<Json<Topics>, Problem> {
    let control: &Control = &state.control;
    let search::Found { items, next } = search::topics(control, pattern, from, limit).await?;
    let (shards, names): (Vec<_>, Vec<Arc<str>>) = items
        .into_iter()
        .map(|(shard, (topic, _))| (shard, topic.into()))
        .unzip();
    let members = search::members(control, &names).await?;
    // A topic is on every shard that has members of it; it is listed with the lowest of them alone.
    let listed = names.into_iter().zip(members).zip(shards);
    let listed = listed
        .filter(|((_, members), shard)| members.first == Some(*shard))
        .map(|((topic, members), _)| (topic, members.count));
    let mut topics = with_rates(state, listed);
    topics.sort_by_key(|topic| std::cmp::Reverse(topic.members));
    Ok(Json(Topics {
        topics,
        from: "search",
        as_of_s: Some(0.0),
        complete: next.is_none() && from == Cursor::default(),
        next,
    }))
}

fn with_rates(state: &State, topics: impl Iterator<Item = (Arc<str>, usize)>) -> Vec<Topic> {
    let topic = |board: &super::super::board::Board, (topic, members): (Arc<str>, usize)| {
        Topic::new(&topic, members, board.rate(&topic))
    };
    let observatory = &state.observatory;
    observatory.ask_board(|board| topics.map(|item| topic(board, item)).collect())
}

impl Topic {
    fn new(topic: &str, members: usize, rate: Option<Rate>) -> Self {
        Self {
            topic: topic.to_owned(),
            members,
            messages_per_s: rate.map(|rate| rate.messages),
            deliveries_per_s: rate.map(|rate| rate.deliveries),
            error: rate.map(|rate| rate.error).filter(|error| *error > 0.0),
        }
    }
}
