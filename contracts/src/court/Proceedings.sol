// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {System} from "../interfaces/System.sol";
import {Challenges} from "./Challenges.sol";
import {CourtStorage} from "./CourtStorage.sol";
import {Refereeing} from "./Refereeing.sol";

/// @notice What comes before and after the game: challenges, referee, appeal, verdict. Code only: `Court` deploys it and
/// runs it on its own storage, since both together are larger than one contract may be. Called directly it finds no
/// challenge and no dispute, and no module of the protocol listens to it.
contract Proceedings is Challenges, Refereeing {
    constructor(System memory system) CourtStorage(system) {}
}
