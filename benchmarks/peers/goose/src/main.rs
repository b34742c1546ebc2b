//! Posts the benchmark's request with every user of goose, without a wait, and prints what goose
//! counted as one line of JSON. Options are goose's own; the request comes from the environment.

use std::env;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use goose::metrics::GooseMetrics;
use goose::prelude::*;
use goose::test_plan::TestPlanStepAction;

struct Wanted {
    path: String,
    get: bool,
    body: String,
    content: usize,
}

static WANTED: LazyLock<Wanted> = LazyLock::new(|| {
    let value = |name: &str| env::var(name).unwrap_or_default();
    Wanted {
        path: value("BENCH_PATH"),
        get: value("BENCH_METHOD") == "GET",
        body: value("BENCH_BODY"),
        content: value("BENCH_CONTENT").parse().unwrap_or(0),
    }
});

/// CPU used before the first request: goose makes a TLS client for every user, which is not what
/// a request costs.
static BEFORE: OnceLock<f64> = OnceLock::new();

/// Seconds of CPU, user and system, that this process has used.
fn cpu() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills in the struct, of which all zeros is a valid one too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

async fn send(user: &mut GooseUser) -> TransactionResult {
    let wanted = &*WANTED;
    BEFORE.get_or_init(cpu);
    let method = if wanted.get {
        GooseMethod::Get
    } else {
        GooseMethod::Post
    };
    let mut builder = user
        .get_request_builder(&method, &wanted.path)?
        .header("Authorization", "Bearer test-api-key")
        .header("Content-Type", "application/json");
    if !wanted.get {
        builder = builder.body(wanted.body.as_str());
    }
    let request = GooseRequest::builder()
        .method(method)
        .path(wanted.path.as_str())
        .set_request_builder(builder)
        .build();
    let mut answer = user.request(request).await?;
    if let Ok(response) = answer.response {
        // Only a body that was read to its end leaves its connection to the next request.
        let read = response.bytes().await.map(|content| content.len());
        if read.ok() != Some(wanted.content) {
            return user.set_failure("not the whole answer", &mut answer.request, None, None);
        }
    }
    Ok(())
}

/// Seconds from the first user's start until all were told to stop.
fn seconds(metrics: &GooseMetrics) -> f64 {
    let last = metrics.history.iter().rev().find(|step| {
        matches!(
            step.action,
            TestPlanStepAction::Decreasing | TestPlanStepAction::Canceling
        )
    });
    match (metrics.history.first(), last) {
        (Some(first), Some(last)) => {
            (last.timestamp - first.timestamp).num_milliseconds() as f64 / 1e3
        }
        _ => 0.0,
    }
}

// The benchmark gives it one core, where one thread is the cheapest.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), GooseError> {
    let metrics = GooseAttack::initialize()?
        .register_scenario(
            scenario!("Constant")
                .set_wait_time(Duration::ZERO, Duration::ZERO)?
                .register_transaction(transaction!(send)),
        )
        .execute()
        .await?;
    let succeeded: usize = metrics.requests.values().map(|r| r.success_count).sum();
    let failed: usize = metrics.requests.values().map(|r| r.fail_count).sum();
    println!(
        "\n{{\"requests\": {}, \"failures\": {failed}, \"seconds\": {:.3}, \"cpu\": {:.6}}}",
        succeeded + failed,
        seconds(&metrics),
        cpu() - BEFORE.get().unwrap_or(&0.0)
    );
    Ok(())
}
