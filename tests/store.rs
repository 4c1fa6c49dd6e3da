//! What the store promises, tried on real files.
//!
//! The conformance suite knows a database by one async constructor alone, so that another one joins
//! with one more line. What only SQLite can be asked (its files, its plans) stands beside it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that meets an error of the store has failed"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cloned_ref_to_slice_refs,
    clippy::assigning_clones,
    reason = "the numbers of a test are small, and its rows few"
)]

#[path = "store/choice.rs"]
mod choice;
#[path = "store/claim.rs"]
mod claim;
#[path = "store/keys.rs"]
mod keys;
#[path = "store/page.rs"]
mod page;
#[path = "store/rescue.rs"]
mod rescue;
#[path = "store/settle.rs"]
mod settle;
#[path = "store/shared.rs"]
mod shared;
#[path = "store/stage.rs"]
mod stage;
#[path = "store/sync.rs"]
mod sync;

#[path = "store/sqlite_file.rs"]
mod sqlite_file;
#[path = "store/sqlite_open.rs"]
mod sqlite_open;
#[path = "store/sqlite_plans.rs"]
mod sqlite_plans;
#[path = "store/sqlite_spool.rs"]
mod sqlite_spool;
#[path = "store/sqlite_wal.rs"]
mod sqlite_wal;

use std::path::Path;

use promptmill::store::Store;

/// Opens the store of a path as the suite wants it: an error fails the test.
async fn sqlite(path: &Path) -> Store {
    Store::open(path).await.unwrap()
}

/// Makes the tests of one database; the tables below list what the suite holds.
macro_rules! tests {
    ($open:path: $($room:ident { $($test:ident,)* })*) => {
        $(mod $room {
            $(#[tokio::test]
            async fn $test() {
                crate::$room::$test($open).await;
            })*
        })*
    };
}

macro_rules! conformance {
    ($database:ident, $open:path) => {
        mod $database {
            mod conforms {
                tests! { $open:
                    sync {
                        a_first_import_adds_every_row,
                        a_large_first_input_is_known_again_and_all_or_nothing,
                        the_same_input_again_changes_nothing,
                        new_rows_are_added_and_the_old_keep_their_answers,
                        a_changed_request_is_asked_again,
                        an_answer_to_the_old_question_is_shut_out,
                        other_changed_cells_keep_the_answer,
                        a_withdrawn_row_is_kept_but_neither_claimed_nor_exported,
                        a_row_that_returns_has_its_answer,
                        a_row_that_returns_changed_is_asked_again,
                        bad_input_midway_leaves_all_as_it_was,
                        an_input_that_breaks_off_is_an_error_and_leaves_all_as_it_was,
                        two_batches_are_apart,
                        what_a_batch_is_follows_the_last_import,
                        many_chunks_keep_the_input_order,
                        a_new_order_of_the_input_is_the_order_of_the_export,
                        an_unknown_batch_is_an_error_that_names_those_there_are,
                    }
                    claim {
                        jobs_are_claimed_in_input_order_never_more_than_asked,
                        short_and_long_requests_are_claimed_together,
                        what_waited_and_is_due_comes_before_what_was_never_asked,
                        nothing_is_claimed_before_its_time,
                        the_earliest_of_those_that_wait_come_first,
                        next_due_tells_when_there_is_something_to_claim,
                        a_claim_carries_the_rules_of_earlier_failures,
                        a_job_made_pending_again_starts_without_a_past,
                        only_failed_jobs_of_the_batch_are_made_pending_again,
                    }
                    choice {
                        failed_rows_are_reopened_by_cause_by_scope_and_at_most_so_many,
                        a_cancelled_row_is_not_asked_until_it_is_reopened,
                        only_the_named_rows_are_cancelled,
                        rows_are_found_by_key_then_by_number,
                        a_row_is_shown_with_its_attempts_and_its_answer,
                        what_failed_is_listed_page_by_page,
                    }
                    settle {
                        an_answer_is_kept_as_it_came,
                        odd_texts_come_back_byte_for_byte,
                        a_requeued_job_counts_what_it_should,
                        a_failed_job_says_why,
                        a_failure_without_a_request_says_why,
                        a_settlement_under_another_claim_changes_nothing,
                        a_job_is_settled_once,
                        a_job_settled_twice_in_one_turn_takes_the_first,
                        stale_and_good_settlements_may_come_together,
                        a_withdrawn_job_in_flight_keeps_its_answer,
                        the_causes_of_failures_are_counted,
                    }
                    rescue {
                        jobs_in_flight_are_taken_back_and_their_requests_are_unknown,
                        the_settlement_of_a_dead_run_is_stale,
                        what_was_settled_stays_settled,
                        a_job_in_flight_at_five_crashes_has_failed,
                        a_withdrawn_job_in_flight_is_taken_back,
                    }
                    keys {
                        states_are_saved_and_read_again,
                        a_key_has_a_state_for_each_address,
                        a_key_has_a_state_for_each_model,
                        keys_are_reset_by_label_or_all,
                        the_salt_stays_and_is_this_databases_own,
                    }
                    page {
                        pages_bring_every_row_once_in_order,
                        pages_leave_out_what_was_withdrawn,
                        counts_and_pages_agree,
                    }
                    shared {
                        many_open_a_new_database_at_once,
                        two_stores_settle_and_import_at_once_and_lose_nothing,
                        a_reader_sees_what_the_other_store_settled,
                    }
                }
            }
        }
    };
}

conformance!(on_sqlite, crate::sqlite);
