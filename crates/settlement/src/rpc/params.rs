//! Parameters of requests: parsed, never trusted.

use alloy::primitives::{Address, B256, Bytes, U64, U256};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::RpcError;
use crate::chain::{Block, CallRequest, Chain, LogFilter};

/// The positional parameters of a request.
pub(super) struct Params<'a>(pub(super) &'a Value);

impl Params<'_> {
    fn at(&self, i: usize) -> &Value {
        self.0.get(i).unwrap_or(&Value::Null)
    }

    /// Parameter `i`, which must be there.
    pub(super) fn required<T: DeserializeOwned>(&self, i: usize) -> Result<T, RpcError> {
        parse(self.at(i), &format!("parameter {i}"))
    }

    /// Parameter `i` as a number, in hex, decimal text or JSON; `None` if absent.
    pub(super) fn number(&self, i: usize) -> Result<Option<u64>, RpcError> {
        match self.at(i) {
            Value::Null => Ok(None),
            value => number(value, &format!("parameter {i}")).map(Some),
        }
    }

    /// Fails unless the state that parameter `i` names is the newest: the only one there is.
    pub(super) fn newest_state(&self, chain: &Chain, i: usize) -> Result<(), RpcError> {
        let Some(block) = block(chain, self.at(i))? else {
            return Err(RpcError::server("header not found"));
        };
        if block.hash == chain.head().hash {
            return Ok(());
        }
        Err(RpcError::server(format!(
            "the embedded chain keeps the newest state, of block {}; block {} is gone",
            chain.head().number,
            block.number
        )))
    }

    /// The block that parameter `i` names.
    pub(super) fn block(&self, chain: &Chain, i: usize) -> Result<Option<Block>, RpcError> {
        block(chain, self.at(i))
    }

    /// Parameter `i` as a call.
    pub(super) fn call(&self, i: usize) -> Result<CallRequest, RpcError> {
        let call = self.at(i);
        if !call.is_object() {
            return Err(RpcError::params("a call is an object"));
        }
        let field = |name: &str| call.get(name).filter(|v| !v.is_null());
        fn or_default<T: DeserializeOwned + Default>(
            value: Option<&Value>,
            what: &str,
        ) -> Result<T, RpcError> {
            value.map_or_else(|| Ok(T::default()), |v| parse(v, what))
        }
        Ok(CallRequest {
            from: or_default::<Address>(field("from"), "from")?,
            to: or_default::<Option<Address>>(field("to"), "to")?,
            data: or_default::<Bytes>(field("input").or_else(|| field("data")), "input")?,
            value: or_default::<U256>(field("value"), "value")?,
            gas: field("gas").map(|v| number(v, "gas")).transpose()?,
        })
    }

    /// Parameter `i` as a log filter.
    pub(super) fn filter(&self, chain: &Chain, i: usize) -> Result<LogFilter, RpcError> {
        let filter = self.at(i);
        if !filter.is_object() {
            return Err(RpcError::params("a filter is an object"));
        }
        let end = |name: &str| -> Result<u64, RpcError> {
            match filter.get(name).unwrap_or(&Value::Null) {
                Value::String(text) if text.starts_with("0x") => {
                    parse::<U64>(&Value::String(text.clone()), name).map(|n| n.to())
                }
                tag => Ok(block(chain, tag)?.map_or(chain.head().number, |block| block.number)),
            }
        };
        let (from_block, to_block) = match filter.get("blockHash") {
            None | Some(Value::Null) => (end("fromBlock")?, end("toBlock")?),
            Some(hash) => {
                let block = chain
                    .block_by_hash(parse(hash, "blockHash")?)?
                    .ok_or_else(|| RpcError::server("unknown block"))?;
                (block.number, block.number)
            }
        };
        let topics = match filter.get("topics").unwrap_or(&Value::Null) {
            Value::Null => Vec::new(),
            Value::Array(positions) if positions.len() <= 4 => positions
                .iter()
                .map(|p| one_or_many::<B256>(p, "topics"))
                .collect::<Result<_, _>>()?,
            _ => return Err(RpcError::params("topics: at most four positions")),
        };
        Ok(LogFilter {
            from_block,
            to_block,
            addresses: one_or_many(filter.get("address").unwrap_or(&Value::Null), "address")?,
            topics,
        })
    }
}

fn one_or_many<T: DeserializeOwned>(value: &Value, what: &str) -> Result<Vec<T>, RpcError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(many) => many.iter().map(|v| parse(v, what)).collect(),
        one => parse(one, what).map(|v| vec![v]),
    }
}

fn parse<T: DeserializeOwned>(value: &Value, what: &str) -> Result<T, RpcError> {
    T::deserialize(value).map_err(|e| RpcError::params(format!("{what}: {e}")))
}

fn number(value: &Value, what: &str) -> Result<u64, RpcError> {
    match value {
        Value::Number(n) => n
            .as_u64()
            .ok_or_else(|| RpcError::params(format!("{what}: {n} is no count"))),
        other => parse::<U64>(other, what).map(|n| n.to()),
    }
}

/// The block that a number, tag, or EIP-1898 object names. Blocks of the embedded chain are final unless
/// somebody scripts a reorg, so all tags but `earliest` are the head.
fn block(chain: &Chain, value: &Value) -> Result<Option<Block>, RpcError> {
    match value {
        Value::Null => Ok(Some(chain.head().clone())),
        Value::String(tag) => match tag.as_str() {
            "latest" | "pending" | "safe" | "finalized" => Ok(Some(chain.head().clone())),
            "earliest" => Ok(chain.block(0)?),
            number if number.len() <= 18 => Ok(chain.block(parse::<U64>(value, "block")?.to())?),
            _ => Ok(chain.block_by_hash(parse(value, "block")?)?),
        },
        Value::Object(object) => match (object.get("blockHash"), object.get("blockNumber")) {
            (Some(hash), _) => Ok(chain.block_by_hash(parse(hash, "blockHash")?)?),
            (None, Some(inner @ Value::String(_))) => block(chain, inner),
            _ => Err(RpcError::params("block: neither number nor hash")),
        },
        _ => Err(RpcError::params("block: neither number, tag nor hash")),
    }
}
