//! Tests of the store with real files.
//!
//! The conformance suite does not depend on SQLite: it only requires an async function that opens a
//! store. Tests of SQLite files and query plans are in separate modules.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a store error fails the test"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cloned_ref_to_slice_refs,
    clippy::assigning_clones,
    reason = "the numbers are small, and the rows few"
)]

#[path = "store/claim.rs"]
mod claim;
#[path = "store/fixture.rs"]
mod fixture;
#[path = "store/keys.rs"]
mod keys;
#[path = "store/page.rs"]
mod page;
#[path = "store/recover.rs"]
mod recover;
#[path = "store/row_filter.rs"]
mod row_filter;
#[path = "store/settle.rs"]
mod settle;
#[path = "store/shared.rs"]
mod shared;
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

/// Generates the tests of one implementation of the store.
macro_rules! tests {
    ($open:path: $($module:ident { $($test:ident,)* })*) => {
        $(mod $module {
            $(#[tokio::test]
            async fn $test() {
                crate::$module::$test($open).await;
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
                        a_large_first_import_is_atomic_and_idempotent,
                        importing_the_same_input_again_changes_nothing,
                        new_rows_are_added_and_existing_responses_are_kept,
                        a_changed_request_is_sent_again,
                        a_response_to_the_old_request_is_discarded,
                        changes_in_other_cells_keep_the_response,
                        a_withdrawn_row_is_kept_but_neither_claimed_nor_exported,
                        a_row_that_is_added_again_keeps_its_response,
                        a_row_that_is_added_again_with_changes_is_sent_again,
                        invalid_input_changes_nothing,
                        an_incomplete_input_is_an_error_and_changes_nothing,
                        batches_are_independent,
                        a_deadline_is_kept_by_imports_until_it_is_removed,
                        an_import_updates_the_batch,
                        many_chunks_keep_the_input_order,
                        the_export_follows_a_changed_input_order,
                        an_unknown_batch_is_an_error_that_lists_the_existing_ones,
                    }
                    claim {
                        jobs_are_claimed_in_input_order_up_to_the_limit,
                        short_and_long_requests_are_claimed_together,
                        due_retries_are_claimed_before_new_jobs,
                        no_job_is_claimed_before_it_is_due,
                        waiting_jobs_are_claimed_by_due_time,
                        next_due_is_the_time_at_which_the_next_job_can_be_claimed,
                        several_batches_are_claimed_in_one_transaction,
                        claims_on_a_restricted_batch_are_limited_to_its_jobs,
                        a_claim_includes_the_rules_of_earlier_failures,
                        a_reopened_job_has_no_history,
                        only_failed_jobs_of_the_batch_are_reopened,
                    }
                    row_filter {
                        failed_rows_are_reopened_by_rule_scope_job_and_limit,
                        a_canceled_row_is_not_sent_until_it_is_reopened,
                        only_the_given_rows_are_canceled,
                        rows_are_found_by_key_then_by_number,
                        a_row_is_read_with_its_attempts_and_its_response,
                        failed_rows_are_listed_page_by_page,
                    }
                    settle {
                        a_response_is_stored_unchanged,
                        unusual_texts_are_stored_byte_for_byte,
                        a_requeued_job_counts_requests_and_attempts,
                        a_failed_job_is_exported_with_its_error,
                        a_failure_without_a_request_is_exported_with_its_error,
                        a_settlement_with_another_claim_has_no_effect,
                        a_job_is_settled_once,
                        the_first_of_two_settlements_for_a_job_is_applied,
                        stale_and_valid_settlements_can_be_mixed,
                        a_withdrawn_job_in_flight_keeps_its_response,
                        the_causes_of_failures_are_counted,
                    }
                    recover {
                        jobs_in_flight_are_recovered_and_their_requests_are_unknown,
                        the_settlement_of_a_crashed_run_is_stale,
                        settled_jobs_stay_settled,
                        a_job_in_flight_at_five_crashes_fails,
                        a_withdrawn_job_in_flight_is_recovered,
                    }
                    keys {
                        states_are_saved_and_loaded,
                        a_key_has_a_state_per_base_url,
                        a_key_has_a_state_per_model,
                        keys_are_reset_by_label_or_all,
                        the_salt_is_persistent_and_unique_to_the_database,
                    }
                    page {
                        pages_contain_each_row_once_in_order,
                        pages_omit_withdrawn_rows,
                        counts_and_pages_agree,
                    }
                    shared {
                        a_new_database_can_be_opened_concurrently,
                        concurrent_settling_and_importing_loses_nothing,
                        a_reader_sees_the_settlements_of_another_store,
                    }
                }
            }
        }
    };
}

conformance!(on_sqlite, crate::fixture::sqlite);
