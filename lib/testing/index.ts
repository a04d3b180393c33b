/** What users test their own applications and adapters with: `nodalmerge/testing`. */
export { loadBlake3 } from '../protocol/blake3-wasm.js'
export { type BlobStoreSuite, blobStoreSuite } from './blob-store-suite.js'
export { type FakeClock, createFakeClock } from './clock.js'
export { type PeerConnection, connectPeer } from './connection.js'
export { faultyBlobs } from './faulty-blob-store.js'
export {
  type Failure, type FaultyNodeStore, type NodeStoreFaults, type NodeStoreMethod, faultyNodeStore
} from './faulty-node-store.js'
export { type NodeStoreSuite, nodeStoreSuite } from './node-store-suite.js'
export { type Peer, createPeer } from './peer.js'
export { sampleNode, sampleNodes } from './sample-nodes.js'
export { createSocketPair } from './socket.js'
