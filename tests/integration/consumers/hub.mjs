// SPDX-License-Identifier: Apache-2.0
// hub.mjs CACHE REPO COMMIT FILE: what @huggingface/hub finds in a cache, as JSON; its network is none.
import { downloadFileToCacheDir, scanCacheDir } from '@huggingface/hub';

const [cacheDir, repo, revision, path] = process.argv.slice(2);

const { repos, warnings } = await scanCacheDir(cacheDir);
const file = await downloadFileToCacheDir({
	cacheDir, repo, revision, path,
	fetch: () => { throw new Error('there is no network'); },
});
console.log(JSON.stringify({
	repos: Object.fromEntries(repos.map(({ id, revisions }) => [id.name, Object.fromEntries(revisions.map(
		({ commitOid, refs, files }) => [commitOid, { refs: refs.sort(), files: files.map((one) => one.path.split('/').pop()).sort() }]))])),
	warnings: warnings.map(String),
	file,
}));
