// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketFixture} from "../utils/MarketFixture.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {TraceHash_} from "./TraceHash.t.sol";
import {Vm} from "../utils/Vm.sol";
import {ChunkOpenings} from "../../src/audits/ChunkOpenings.sol";
import {ModelHeader, SegmentOpening, TaskSpec} from "../../src/interfaces/Types.sol";
import {Market} from "../../src/market/Market.sol";
import {ModelHash} from "../../src/lib/ModelHash.sol";

/// @notice Every vector of spec/vectors/trace that Solidity has code for, case by case. A file counts only if each of its
/// cases passes and if each case fails once any of its expected values is another: see `_run`.
contract TraceVectorsTest is MarketFixture {
    error Differs(string file, uint256 index, string what);

    string private constant NONE = "";

    TraceHash_ private hash;
    // The case under check, and the field of it that reads as something else than the file says.
    string private json;
    string private file;
    uint256 private index;
    string private altered;

    function setUp() public override {
        super.setUp();
        hash = new TraceHash_();
    }

    // ---- files

    function test_node() public {
        _run("node", 6, this.checkNode, _fields("node"));
    }

    function test_zeroSubtree() public {
        _run("zero_subtree", 33, this.checkZeroSubtree, _fields("root"));
    }

    function test_opening() public {
        _run("opening", 21, this.checkOpening, _fields("root", "valid"));
    }

    function test_row() public {
        _run("row", 17, this.checkRow, _fields("node", "valid"));
    }

    function test_fineRoot() public {
        _run("fine_root", 5, this.checkFineRoot, _fields("fine_root", "ops_root", "live_root"));
    }

    function test_segment() public {
        _run("segment", 5, this.checkSegment, _fields("entry", "segments_root"));
    }

    function test_traceRoot() public {
        _run("trace_root", 7, this.checkTraceRoot, _fields("trace_root", "level1_root", "output_digest"));
    }

    /// The same file through `Market.commit`, which has its own fold.
    function test_traceRoot_asCommitted() public {
        _run("trace_root", 7, this.checkCommit, _fields("trace_root", "level1_root", "output_digest"));
    }

    function test_chunkLeaf() public {
        _run("chunk_leaf", 15, this.checkChunkLeaf, _fields("leaf"));
    }

    function test_tensor() public {
        _run("tensor", 17, this.checkTensor, _fields("digest", "chunk_root", "chunk_height"));
    }

    function test_chunkOpening() public {
        _run("chunk_opening", 12, this.checkChunkOpening, _fields("digest", "valid"));
    }

    function test_audit() public {
        _run("audit", 8, this.checkAudit, _fields("leaf", "tensor_root", "salted_root"));
    }

    function test_modelId() public {
        _run("model_id", 2, this.checkModelId, _fields("model_id"));
    }

    function test_family() public {
        _run("family", 12, this.checkFamily, _fields("leaf", "bindings_root", "family_id"));
    }

    /// The same file through the pool, which has the say.
    function test_family_asShown() public {
        _run("family", 12, this.checkShown, _fields("bindings_root", "family_id"));
    }

    /// A file that nobody runs would be a promise that nobody keeps.
    function test_everyFileHasItsTest() public view {
        string[14] memory known = [
            "node",
            "zero_subtree",
            "opening",
            "row",
            "fine_root",
            "segment",
            "trace_root",
            "chunk_leaf",
            "tensor",
            "chunk_opening",
            "audit",
            "model_id",
            "family",
            "model_leaf" // no contract opens the leaves of a model in this version
        ];
        Vm.DirEntry[] memory found = vm.readDir(_folder());
        assertEq(found.length, known.length, "a vector file without a test, or a test without its file");
        for (uint256 i = 0; i < known.length; i++) {
            assertTrue(vm.exists(string.concat(_folder(), known[i], ".json")), known[i]);
        }
    }

    // ---- one case each; they revert when anything differs

    function checkNode() external view {
        bytes32[] memory right = new bytes32[](1);
        right[0] = _word("right");
        _same("node", hash.rootOf(_word("left"), 0, right, 1), _word("node"));
        (bytes32 left, bytes32[] memory row) = (right[0], new bytes32[](2));
        (right[0], row[0], row[1]) = (_word("left"), _word("left"), left);
        _same("node", hash.rootOf(left, 1, right, 1), _word("node"));
        _same("node", hash.foldRow(row, 1), _word("node"));
    }

    function checkZeroSubtree() external view {
        uint256 height = _uint("height");
        bytes32[] memory zeros = new bytes32[](height);
        for (uint256 k = 1; k < height; k++) {
            zeros[k] = TraceTree.node(zeros[k - 1], zeros[k - 1]);
        }
        _same("root", hash.rootOf(0, 0, zeros, height), _word("root"));
        if (height <= 4) _same("root", hash.foldRow(new bytes32[](1 << height), height), _word("root"));
    }

    function checkOpening() external view {
        bytes memory call = abi.encodeCall(hash.rootOf, (_word("leaf"), _uint("index"), _words("siblings"), _uint("height")));
        (bool done, bytes memory data) = address(hash).staticcall(call);
        _valid(done && abi.decode(data, (bytes32)) == _word("root"));
    }

    function checkRow() external view {
        bytes memory call = abi.encodeCall(hash.foldRow, (_words("row"), _uint("height")));
        (bool done, bytes memory data) = address(hash).staticcall(call);
        bool folds = done && abi.decode(data, (bytes32)) == _word("node");
        _valid(folds);
        if (!folds) return;
        uint8 treeHeight = uint8(_uint("tree_height"));
        bytes32 node = TraceTree.level(_words("leaves"), treeHeight, _uint("height"))[_uint("index")];
        _same("node", node, _word("node"));
    }

    function checkFineRoot() external view {
        bytes32 ops = hash.foldRow(_words("ops_row"), _uint("ops_height"));
        bytes32[] memory live = new bytes32[](1);
        live[0] = hash.foldRow(_words("live_row"), _uint("live_height"));
        _same("ops_root", ops, _word("ops_root"));
        _same("live_root", live[0], _word("live_root"));
        _same("fine_root", hash.rootOf(ops, 0, live, 1), _word("fine_root"));
    }

    function checkSegment() external view {
        SegmentOpening memory s = SegmentOpening({
            index: uint32(_uint("index")),
            firstNode: uint32(_uint("first_node")),
            opCount: uint32(_uint("op_count")),
            liveCount: uint32(_uint("live_count")),
            liveListRoot: _word("live_list_root"),
            proof: _words("siblings")
        });
        _same("entry", hash.segmentEntry(s), _word("entry"));
        bytes32 root = hash.rootOf(hash.segmentEntry(s), s.index, s.proof, _uint("segments_height"));
        _same("segments_root", root, _word("segments_root"));
    }

    function checkTraceRoot() external view {
        uint256 height = _uint("trace_height");
        bytes32 root = hash.rootOf(_word("output_digest"), _uint("output_index"), _words("output_siblings"), height);
        _same("level1_root", root, _word("level1_root"));
        _same("trace_root", hash.traceRoot(uint32(_uint("steps")), root), _word("trace_root"));
        uint256 leaves = _uint("max_steps") * _uint("commit_points");
        if (ModelHash.height(leaves) != height) revert Differs(file, index, "trace_height");
        if (_uint("output_index") != _uint("steps") * _uint("commit_points") - 1) revert Differs(file, index, "output_index");
        if (height <= 9) _same("level1_root", TraceTree.root(_words("leaves"), uint8(height)), _word("level1_root"));
    }

    function checkCommit() external {
        ModelHeader memory h = header;
        h.work = 1;
        h.assetsRoot = keccak256(abi.encode(index, altered)); // each run its own model
        h.maxSteps = uint32(_uint("max_steps"));
        h.commitPoints = uint32(_uint("commit_points"));
        h.traceHeight = uint8(_uint("trace_height"));
        TaskSpec memory spec = _spec();
        spec.modelId = market.registerModel(h, "mem://model of a vector");
        vm.prank(requester);
        uint256 taskId = market.post(spec, "mem://input");
        _claim(taskId, alice);
        (uint32 steps, bytes32 output, bytes32 root) = (uint32(_uint("steps")), _word("output_digest"), _word("level1_root"));
        bytes32[] memory proof = _words("output_siblings");
        bool several = h.maxSteps != 1;
        bytes32[] memory stop = new bytes32[](several ? h.liveHeight : 0);
        vm.prank(alice);
        try market.commit(taskId, steps, output, root, proof, stop) {}
        catch (bytes memory why) {
            // a vector's output is no live root that says "stop": of a model of several steps that is all that is refused
            if (!several || bytes4(why) != Market.NotStopped.selector) {
                assembly ("memory-safe") {
                    revert(add(why, 32), mload(why))
                }
            }
        }
        _same("trace_root", several ? hash.traceRoot(steps, root) : market.task(taskId).traceRoot, _word("trace_root"));
    }

    function checkChunkLeaf() external view {
        _same("leaf", hash.chunkLeaf(_bytes("chunk")), _word("leaf"));
    }

    function checkTensor() external view {
        bytes memory header_ = _bytes("header");
        bytes memory data = _bytes("bytes");
        if (this.tensorBytes(header_) != data.length) revert Differs(file, index, "size");
        bytes32[] memory leaves = new bytes32[]((data.length + 1023) / 1024);
        for (uint256 i = 0; i < leaves.length; i++) {
            leaves[i] = hash.chunkLeaf(_slice(data, i * 1024));
        }
        uint8 height = ModelHash.height(leaves.length);
        if (height != _uint("chunk_height")) revert Differs(file, index, "chunk_height");
        _same("chunk_root", TraceTree.root(leaves, height), _word("chunk_root"));
        _same("digest", hash.tensorDigest(header_, _word("chunk_root")), _word("digest"));
    }

    function checkChunkOpening() external view {
        (bool done, bytes memory data) = address(this)
            .staticcall(
                abi.encodeCall(this.openChunk, (_bytes("header"), _bytes("chunk"), _uint("chunk_index"), _words("siblings")))
            );
        _valid(done && abi.decode(data, (bytes32)) == _word("digest"));
    }

    function checkAudit() external view {
        address auditor = address(bytes20(_bytes("auditor")));
        bytes32 leaf = hash.auditLeaf(auditor, _uint("task"), _bytes("chunk"));
        _same("leaf", leaf, _word("leaf"));
        bytes32 tensor = hash.rootOf(leaf, _uint("chunk_index"), _words("chunk_proof"), _uint("chunk_height"));
        _same("tensor_root", tensor, _word("tensor_root"));
        bytes32 salted = hash.rootOf(tensor, _uint("slot"), _words("live_proof"), _uint("live_height"));
        _same("salted_root", salted, _word("salted_root"));
    }

    function checkModelId() external view {
        ModelHeader memory h;
        h.numericsVersion = uint32(_uint("numerics_version"));
        h.loweringVersion = uint32(_uint("lowering_version"));
        h.nodeCount = uint32(_uint("node_count"));
        h.maxSteps = uint32(_uint("max_steps"));
        h.commitPoints = uint32(_uint("commit_points"));
        h.traceHeight = uint8(_uint("trace_height"));
        h.opsHeight = uint8(_uint("ops_height"));
        h.liveHeight = uint8(_uint("live_height"));
        h.work = uint64(_uint("work"));
        h.nodesRoot = _word("nodes_root");
        h.edgesRoot = _word("edges_root");
        h.weightsRoot = _word("weights_root");
        h.segmentsRoot = _word("segments_root");
        h.assetsRoot = _word("assets_root");
        _same("model_id", this.modelIdOf(h), _word("model_id"));
        _same("encoded", sha256(abi.encodePacked(bytes1(0x05), _bytes("encoded"))), _word("model_id"));
    }

    function checkFamily() external view {
        uint32 at = uint32(_uint("index"));
        bytes32 leaf = ModelHash.bindingLeaf(at, _word("model_id"));
        _same("leaf", leaf, _word("leaf"));
        uint8 height = ModelHash.height(_uint("count"));
        _same("bindings_root", hash.rootOf(leaf, at, _words("proof"), height), _word("bindings_root"));
        bytes32 id = this.familyIdOf(uint32(_uint("count")), _word("bindings_root"), _bytes("domain"));
        _same("family_id", id, _word("family_id"));
    }

    function checkShown() external {
        (bytes32 root, bytes32 model) = (_word("bindings_root"), _word("model_id"));
        bytes32 id = this.familyIdOf(uint32(_uint("count")), root, _bytes("domain"));
        (uint32 known,) = pool.family(id);
        if (known == 0) assertEq(pool.registerFamily(uint32(_uint("count")), root, _bytes("domain"), ""), id);
        _same("family_id", id, _word("family_id"));
        pool.showBinding(id, uint32(_uint("index")), model, _words("proof"));
        assertTrue(pool.isBinding(id, model));
    }

    // ---- the contracts' code, where it reads calldata

    function familyIdOf(uint32 count, bytes32 root, bytes calldata domain) external pure returns (bytes32) {
        return ModelHash.familyId(count, root, domain);
    }

    function tensorBytes(bytes calldata header_) external pure returns (uint256) {
        return ChunkOpenings.tensorBytes(header_);
    }

    function modelIdOf(ModelHeader calldata h) external pure returns (bytes32) {
        return ModelHash.modelId(h);
    }

    function openChunk(bytes calldata header_, bytes calldata chunk, uint256 at, bytes32[] calldata proof)
        external
        view
        returns (bytes32)
    {
        return ChunkOpenings.digestOf(header_, chunk, at, proof);
    }

    // ---- how a file is run

    /// @param expected fields that say what must come out; each is altered in turn, and the case must fail then
    function _run(string memory name, uint256 least, function() external check, string[] memory expected) private {
        file = name;
        json = vm.readFile(string.concat(_folder(), name, ".json"));
        uint256 count = vm.parseJsonUint(json, ".count");
        assertGe(count, least, "cases were lost");
        assertTrue(vm.keyExistsJson(json, string.concat(".cases[", vm.toString(count - 1), "]")), "fewer cases than counted");
        assertFalse(vm.keyExistsJson(json, string.concat(".cases[", vm.toString(count), "]")), "more cases than counted");
        uint256 caught;
        for (index = 0; index < count; index++) {
            altered = NONE;
            bool isRefusal = vm.keyExistsJson(json, _at("valid")) && !_bool("valid");
            check();
            for (uint256 f = 0; f < expected.length; f++) {
                // What must be refused stays refused under another root; there "valid" alone is what is expected.
                if (isRefusal && keccak256(bytes(expected[f])) != keccak256("valid")) continue;
                altered = expected[f];
                (bool passed, bytes memory why) = check.address.call(abi.encodePacked(check.selector));
                assertFalse(passed, string.concat(name, ": nobody looks at ", expected[f]));
                bool about = bytes4(why) == Differs.selector || bytes4(why) == Market.OutputNotInTrace.selector;
                assertTrue(about, string.concat(name, ": failed for another reason than ", expected[f]));
                caught++;
            }
        }
        assertGe(caught, count, "every case expects something");
    }

    function _folder() private view returns (string memory) {
        return string.concat(vm.projectRoot(), "/../spec/vectors/trace/");
    }

    function _fields(string memory a) private pure returns (string[] memory list) {
        list = new string[](1);
        list[0] = a;
    }

    function _fields(string memory a, string memory b) private pure returns (string[] memory list) {
        list = new string[](2);
        (list[0], list[1]) = (a, b);
    }

    function _fields(string memory a, string memory b, string memory c) private pure returns (string[] memory list) {
        list = new string[](3);
        (list[0], list[1], list[2]) = (a, b, c);
    }

    function _same(string memory what, bytes32 found, bytes32 wanted) private view {
        if (found != wanted) revert Differs(file, index, what);
    }

    function _valid(bool passed) private view {
        if (passed != _bool("valid")) revert Differs(file, index, "valid");
    }

    function _slice(bytes memory data, uint256 from) private pure returns (bytes memory out) {
        uint256 length = data.length - from < 1024 ? data.length - from : 1024;
        out = new bytes(length);
        for (uint256 i = 0; i < length; i++) {
            out[i] = data[from + i];
        }
    }

    function _at(string memory field) private view returns (string memory) {
        return string.concat(".cases[", vm.toString(index), "].", field);
    }

    function _isAltered(string memory field) private view returns (bool) {
        return keccak256(bytes(field)) == keccak256(bytes(altered));
    }

    function _uint(string memory field) private view returns (uint256 value) {
        value = vm.parseJsonUint(json, _at(field));
        if (_isAltered(field)) value ^= 1;
    }

    function _bool(string memory field) private view returns (bool) {
        return vm.parseJsonBool(json, _at(field)) != _isAltered(field);
    }

    function _word(string memory field) private view returns (bytes32 value) {
        value = vm.parseJsonBytes32(json, _at(field));
        if (_isAltered(field)) value ^= bytes32(uint256(1));
    }

    function _words(string memory field) private view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(json, _at(field));
    }

    function _bytes(string memory field) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, _at(field));
    }
}
