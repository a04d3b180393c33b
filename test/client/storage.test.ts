import 'fake-indexeddb/auto'
import t from 'tap'
import { browserStorage } from '../../lib/client/storage-browser.js'
import { folderStorage } from '../../lib/client/storage-folder.js'
import { memoryStorage } from '../../lib/client/storage-memory.js'
import { createLocks } from '../../lib/client/locks.js'
import { storageRules } from './storage-suite.js'

let databases = 0

t.test('IndexedDB', (t) => storageRules(t, () => {
  const name = `suite ${databases++}`
  const locks = createLocks()
  return { storage: browserStorage({ name, locks }), reopened: () => browserStorage({ name, locks }) }
}))

t.test('folder', (t) => storageRules(t, (t) => {
  const path = `${t.testdir()}/below/folder`
  return { storage: folderStorage({ path }), reopened: () => folderStorage({ path }) }
}))

t.test('memory', (t) => storageRules(t, () => {
  const storage = memoryStorage()
  return { storage, reopened: () => storage }
}))
