export { memoryNodes } from './memory-nodes.js'
