//! The rows: each command, how it prints, and what.

/// How a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prints {
    /// One object.
    One,
    /// One object a line, as things happen; each has one of these forms.
    Lines,
    /// No JSON, and why.
    Text(&'static str),
}

use Prints::{Lines, One, Text};

/// Fields are `name:type`, with `~` behind a name that may be absent and `?` behind a type that may be null; `[type]` is a
/// list, `{type}` an object with such values under names of their own, `#Name` one of [`SHARED`], `=word` that word alone.
pub(super) type Row = (&'static str, Prints, &'static [&'static str]);

/// Forms that several commands print.
pub(super) const SHARED: &[(&str, &str)] = &[
    (
        "Task",
        "task:count state:text requester:address model:digest class:digest input_digest:digest min_price:amount max_price:amount attempt:count attempts:[#Attempt] audit:text disputes:[#Dispute]",
    ),
    (
        "Attempt",
        "attempt:count provider:address price:amount collateral:amount deadline:count trace_root:digest? output_digest:digest? ended:text?",
    ),
    (
        "Dispute",
        "dispute:count task:count attempt:count provider:address challenger:address by_audit:bool state:text bond:amount to_move:text? deadline:count? moves:count isolated:#Isolated? ruling:#Ruling?",
    ),
    (
        "Isolated",
        "segment_leaf:count live:bool index:count node:count? claimed:digest",
    ),
    ("Owed", "kind:text"),
    ("Ruling", "referee:address guilty:bool digest:digest"),
    ("Setting", "key:text value:any origin:text"),
    ("Check", "check:text status:text found:text fix:text?"),
    (
        "Provider",
        "provider:address owner:address payout:address standing:text free:amount locked:amount unbonding:amount frozen:count tombstoned:bool live_tasks:count settled:count",
    ),
    (
        "ApiKey",
        "name:text account:address? budget:amount? requests_per_minute:count max_concurrent:count",
    ),
    ("KeyFile", "address:text file:text"),
    ("Output", "name:text dtype:text shape:[count] digest:digest"),
    (
        "Receipt",
        "chain_id:count market:address task_id:count attempt:count class_id:digest model_id:digest input_digest:digest output_digest:digest trace_root:digest steps:count provider:address signature:text",
    ),
];

const ACTED: &str = "event:=acted who:text what:text transaction:digest gas:count";
const FAILED: &str = "event:=failed who:text error:text";
const UNREACHABLE: &str = "event:=unreachable error:text";
const SENT: &str = "task:count transaction:digest gas:count";

pub(super) const TABLE: &[Row] = &[
    (
        "demo",
        One,
        &[
            "format:count seed:count faults:[any] model:object decimals:count parties:[object] tasks:[object] claims:[object] disputes:[object] challenges:[object] audits:[object] slashes:[object]",
        ],
    ),
    (
        "sim court",
        One,
        &[
            "seeds:[count] runs:count honest_slashed:count wrong_settled:count honest_poorer:count conserved:bool unfinished:count broken:count wrong_committed:count faults:{count} failing:[object]",
        ],
    ),
    ("sim attacks", One, &["attacks:[object] holds:bool"]),
    ("model id", One, &["model_id:digest", "family_id:digest"]),
    (
        "model inspect",
        One,
        &[
            "model_id:digest",
            "family_id:digest bindings_root:digest dimensions:[object] bindings:[object]",
        ],
    ),
    (
        "model publish",
        Lines,
        &[
            "event:=publishing file:text done:count total:count",
            "event:=published model:text model_id:digest to:text files:count bytes:count sent_bytes:count",
        ],
    ),
    (
        "model fetch",
        Lines,
        &[
            "event:=fetching file:text done:count total:count",
            "event:=fetched model_id:digest folder:text model:text files:count bytes:count fetched_bytes:count",
        ],
    ),
    ("model operators", One, &["onnx:[text]"]),
    (
        "model register",
        One,
        &[
            "model_id:digest registered:bool transaction~:digest gas~:count",
            "family_id:digest registered:bool transaction~:digest gas~:count",
        ],
    ),
    (
        "run",
        One,
        &[
            "model_id:digest operators:{count} prediction:count? label:text? scores:[number]? input_digest:digest output_digest:digest trace_root:digest steps:count commit_points:count outputs:[#Output] time_ms:number hashing_share:number isa:text threads:count",
        ],
    ),
    (
        "generate",
        Lines,
        &[
            "event:=token index:count token:count text:text?",
            "event:=done model_id:digest prompt_tokens:[count] output_tokens:[count] stop:text input_digest:digest? output_digest:digest? isa:text timings:object",
            "model_id:digest positions:count vocabulary:count",
        ],
    ),
    (
        "generate-image",
        One,
        &[
            "model:text model_id:digest prompt:text seed:count written:text width:count height:count picture_digest:digest input_digest:digest output_digest:digest trace_root:digest steps:count time_ms:number hashing_share:number isa:text threads:count",
        ],
    ),
    (
        "chat",
        Lines,
        &[
            "event:=token index:count token:count text:text?",
            "event:=answer text:text tokens:any stop:text prompt_tokens:count computed_prompt_tokens:count prompt_seconds:number decode_seconds:number decode_tokens_per_second:number",
        ],
    ),
    (
        "verify",
        One,
        &[
            "kind:=generation claim:bool wrong:object? model_id:digest tokens:count trace_root:digest? recomputed:digest? verify_seconds:number generate_seconds:number ratio:number? threads:count",
            "kind:=receipt signed:bool claim:bool? recomputed:digest? receipt:#Receipt",
            "claim:bool claimed:digest recomputed:digest operator:text? node:count? ruling:bool? step:object? task:object trace_root:digest leaf_index:count isolated:any",
        ],
    ),
    (
        "bench isolate",
        One,
        &[
            "model_id:digest faults:count seed:count isolated:count absorbed:count rounds:object moves:object level:object time_ms:number",
        ],
    ),
    (
        "bench llm",
        One,
        &[
            "model:text model_id:digest context:count isa:text threads:count load_seconds:number prompt:count decode:count prefill_tokens_per_second:number decode_tokens_per_second:number prefill_seconds:number decode_seconds:number peak_rss_bytes:count? traced:object",
        ],
    ),
    (
        "bench onnx",
        One,
        &[
            "model_id:digest isa:text threads:count run_ms:[number] compute_ms:[number] hashing_ms:[number] cpu_ms:[number] peak_rss_bytes:count? profile:[object]",
        ],
    ),
    ("bench chain", One, &["runs:[object] peak_rss_bytes:count?"]),
    (
        "bench gas",
        One,
        &[
            "actions:{object} level:any operators:any transaction_cap:count task:object dispute:object",
        ],
    ),
    (
        "bench trace",
        One,
        &[
            "model_id:digest runs:count isa:text threads:count time_ms:number compute_ms:number hashing_ms:number input_hashing_ms:number hashing_share:number committed_bytes:count hashing_bytes_per_second:number operations_per_second:number runs_per_second:number budget_share:number budget_applies:bool",
        ],
    ),
    ("key new", One, &["address:address file:text"]),
    ("key address", One, &["address:address"]),
    ("key import", One, &["address:address file:text"]),
    ("key export", One, &["address:address secret:text"]),
    ("key list", One, &["keys:[#KeyFile]"]),
    (
        "chain up",
        Lines,
        &[
            "event:=listening rpc:text chain_id:count block:count database:text? opened:object",
            "event:=saved records:count bytes:count longest_pause_seconds:number",
            "event:=unsaved reason:text",
        ],
    ),
    (
        "chain deploy",
        One,
        &["deployment:object file:text minted:[address] tokens_each:count beacon:object"],
    ),
    ("chain params", One, &["parameters:object"]),
    (
        "economics solve",
        One,
        &[
            "assumptions:object decided:[object] rate_one_fault_ppm:count rate_exposure_ppm:count beacon_bond:amount parameters:object rules:[object]",
        ],
    ),
    (
        "economics simulate",
        One,
        &[
            "closed_form_ppm:number kink_ppm:count off:number solved_ppm:count points:[object]",
            "engine:=contracts calls:count rounds:count kinds:[object] outcome:object",
        ],
    ),
    (
        "economics strategies",
        One,
        &["market:object response:object?"],
    ),
    (
        "economics report",
        One,
        &["files:[text] changed:[text] worst_off:number"],
    ),
    (
        "economics explain",
        One,
        &["kept:bool broken:object? rules:[object] trap_share:number"],
    ),
    (
        "beacon join",
        Lines,
        &[
            "event:=joining participant:address beacon:address bond:amount period:count quorum:count ops:text?",
            "event:=ending participant:address",
            "event:=ended participant:address bond_back:bool",
            ACTED,
            FAILED,
            UNREACHABLE,
        ],
    ),
    (
        "beacon leave",
        Lines,
        &[
            "event:=ending participant:address",
            "event:=ended participant:address bond_back:bool",
            ACTED,
            FAILED,
            UNREACHABLE,
        ],
    ),
    (
        "beacon show",
        One,
        &[
            "beacon:address scheme:text genesis:count period:count drift:count next_round:count next_at:count newest:object? slack:count? secrets:object? participant:object?",
        ],
    ),
    (
        "provider init",
        One,
        &[
            "provider:address dir:text key:text password_file:text config:text made:any models:any next:any",
        ],
    ),
    (
        "provider calibrate",
        One,
        &[
            "models:[object] cost_per_hour:text utilisation_percent:any margin_percent:any reserve:text concurrency:any least_exec_seconds:any written:any",
        ],
    ),
    (
        "provider work",
        Lines,
        &[
            "event:=working worker:text models:[digest]",
            "event:=draining",
            "event:=began job:text tries:count",
            "event:=done job:text trace_root:digest seconds:number",
            "event:=failed job:text error:text",
            "event:=returned job:text why:text",
            "event:=late job:text",
            UNREACHABLE,
        ],
    ),
    (
        "provider run",
        Lines,
        &[
            "event:=serving provider:address models:[digest] owed:[#Owed] ops:text?",
            "event:=draining provider:address",
            "event:=drained provider:address",
            "event:=standby provider:address",
            "event:=leading provider:address",
            "event:=workers workers:[text]",
            "event:=offered job:text",
            "event:=ran job:text worker:text tries:count",
            "event:=rejected job:text worker:text why:text",
            "event:=given_up job:text why:text",
            ACTED,
            FAILED,
            UNREACHABLE,
        ],
    ),
    (
        "provider drain",
        Lines,
        &[
            "event:=draining provider:address models:[digest] owed:[#Owed] ops:text?",
            "event:=drained provider:address",
            ACTED,
            FAILED,
            UNREACHABLE,
        ],
    ),
    (
        "provider stake",
        One,
        &["provider:address staked:amount free:amount transaction:digest gas:count"],
    ),
    (
        "provider unstake",
        One,
        &[
            "provider:address unstaked:amount mature_at:count unbonding_seconds:count owed:[#Owed] transaction:digest gas:count",
        ],
    ),
    (
        "provider withdraw",
        One,
        &[
            "provider:address owner~:address withdrawn:amount waiting:amount next_mature_at:count? transactions:[digest]",
        ],
    ),
    ("provider list", One, &["block:count providers:[#Provider]"]),
    (
        "task post",
        Lines,
        &[
            "task:count transaction:digest gas:count introduced:[any]",
            "event:=introduced act:any",
            "event:=posted task:count transaction:digest gas:count",
            ACTED,
            FAILED,
            UNREACHABLE,
            "#Task",
        ],
    ),
    (
        "task trap",
        Lines,
        &[
            "event:=posted task:count transaction:digest gas:count provider:address sealer:address jackpot:amount",
            "event:=over task:count shown:bool finders:count share:amount? passed_by:address? penalty:amount?",
            ACTED,
            FAILED,
            UNREACHABLE,
        ],
    ),
    ("task list", One, &["block:count tasks:[#Task]"]),
    ("task show", One, &["#Task"]),
    (
        "task result",
        One,
        &[
            "task:count state:text outputs:[text] prediction:text? text:text? picture_digest:digest?",
        ],
    ),
    ("task wait", One, &["#Task"]),
    ("task cancel", One, &[SENT]),
    (
        "gateway run",
        Lines,
        &[
            "event:=listening api:text ops:text models:[text] requester:address",
            ACTED,
            FAILED,
            UNREACHABLE,
        ],
    ),
    (
        "gateway sign",
        One,
        &[
            "account:address gateway:address chain_id:count market:address route:text body_digest:digest deadline:count nonce:text digest:digest signature:text headers:{text} curl:text",
        ],
    ),
    (
        "gateway key new",
        One,
        &[
            "name:text key:text file:text",
            "name:text account:address file:text",
        ],
    ),
    ("gateway key list", One, &["keys:[#ApiKey]"]),
    ("gateway key revoke", One, &["revoked:text"]),
    (
        "challenge watch",
        Lines,
        &[
            "event:=watching watcher:address models:[digest] ops:text?",
            ACTED,
            FAILED,
            UNREACHABLE,
        ],
    ),
    (
        "challenge task",
        Lines,
        &[
            "event:=watching watcher:address models:[digest] ops:text?",
            ACTED,
            FAILED,
            UNREACHABLE,
        ],
    ),
    (
        "challenge open",
        Lines,
        &[
            "event:=disputed task:count dispute:count",
            ACTED,
            FAILED,
            UNREACHABLE,
        ],
    ),
    (
        "challenge move",
        One,
        &["dispute:count role:text move:text? sent:bool transaction:digest? gas:count?"],
    ),
    (
        "challenge drill",
        One,
        &[
            "model:text fault:text seed:count who:any detected:bool convicted:bool in_time:bool isolated:any dispute:any broken:any phases:[object]",
        ],
    ),
    ("challenge evidence", One, &["dispute:count file:text"]),
    ("challenge list", One, &["block:count disputes:[#Dispute]"]),
    ("dispute list", One, &["block:count disputes:[#Dispute]"]),
    ("dispute show", One, &["#Dispute"]),
    (
        "dispute explain",
        One,
        &[
            "dispute:#Dispute place:any claim:bool? appeal:object? executed_on_chain:bool step:object?",
        ],
    ),
    (
        "watch",
        Lines,
        &[
            "event:=watching block:count models:[digest] ops:text?",
            "event:=alert code:text what:text task~:count? dispute~:count? provider~:address?",
        ],
    ),
    ("doctor", One, &["status:text checks:[#Check]"]),
    ("config show", One, &["file:text? values:[#Setting]"]),
    ("config check", One, &["file:text? keys:count"]),
    ("config init", One, &["file:text"]),
    (
        "blobs prune",
        One,
        &["unneeded:[text] bytes:count kept:count deleted:bool"],
    ),
    ("completions", Text("a script for a shell"), &[]),
    ("man", One, &["folder:text"]),
    ("reference", Text("Markdown, or files"), &[]),
    (
        "worker",
        Text("a protocol between two processes of this program"),
        &[],
    ),
    (
        "account show",
        One,
        &["account:address wallet:amount credit:amount stake:amount correlated:object?"],
    ),
    (
        "account withdraw",
        One,
        &["account:address withdrawn:amount transaction~:digest gas~:count"],
    ),
    (
        "up",
        Lines,
        &[
            "event:=up explorer:text api:text adversary:any speed:number ops:text? deployment:object parties:[object]",
            ACTED,
            FAILED,
            UNREACHABLE,
        ],
    ),
    (
        "explorer",
        Lines,
        &["event:=listening explorer:text ops:text?"],
    ),
    (
        "protection export",
        One,
        &["file:text", "metadata:object data:[object]"],
    ),
    ("protection import", One, &["state:text imported:object"]),
    (
        "protection check",
        One,
        &[
            "state:text address:address contract:address chain_id:count rows:{count} complete_from:{count} tripped:any",
        ],
    ),
    ("protection prune", One, &["forgotten:count"]),
    ("protection reset", One, &["was_tripped_by:[text]"]),
];
