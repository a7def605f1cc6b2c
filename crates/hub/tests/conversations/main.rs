//! What a hub says to its clients, word for word. Each file is a claim.

mod model;
mod room;
mod script;

mod a_conversation_is_phoenixs_word_for_word;
mod a_crash_costs_one_channel;
mod a_duplicate_join_closes_the_old_channel;
mod a_join_that_fails_is_answered;
mod a_naive_hub_agrees;
mod a_publish_goes_only_where_members_are;
mod an_idle_connection_is_small;
mod broadcasts_reach_exactly_the_members;
mod connections_and_topics_are_looked_at_in_slices;
mod connections_end_with_their_code;
mod late_answers_find_their_way;
mod limits_are_reached;
mod stale_messages_are_dropped;
