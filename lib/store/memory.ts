export { type MemoryBlobsOptions, memoryBlobs } from './memory-blobs.js'
export { memoryNodes } from './memory-nodes.js'
