//! What can be said to publish a model's files and to fetch them.

use std::path::PathBuf;

use clap::Args;
use gavel_trace::Digest;

#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// Model file, folder of a language model, or the name of a shipped model, with its @TOKENS or @NAME=LOW..HIGH as providers
    /// are to serve it
    #[arg(value_name = "MODEL", required = true)]
    pub(crate) models: Vec<String>,
    /// Store to write to: a directory, or file:, http(s):, s3:, gs:, az:
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: String,
}

#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// The model's identity, as `gavel model id` prints it
    pub(crate) model_id: Digest,
    /// Store to fetch from [default: that of --models-from]
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: Option<String>,
    /// Folder to keep the model in, under its identity [default: that of --models-dir]
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
}
