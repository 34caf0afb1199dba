//! The network behind the HTTP interface that OpenAI clients speak.
