// Lints the committed OpenAPI document with Redocly's recommended rules, and those on top that the API promises (README, API).
//   node .ci/lint-spec.mjs [FILE]
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createConfig, lintFromString } from '@redocly/openapi-core';

const file = resolve(process.argv[2] ?? 'handlers/api/testdata/openapi.json');
const config = await createConfig({
	extends: ['recommended-strict'],
	rules: {
		'info-license': 'off', // the program's own, not the document's
		'info-license-url': 'off',
		'info-license-strict': 'off',
		'operation-operationId': 'error',
		'operation-operationId-unique': 'error',
		'operation-summary': 'error',
		'operation-singular-tag': 'error',
		'operation-4xx-response': 'error',
		'tag-description': 'error',
		'no-server-example.com': 'off',
		'no-server-trailing-slash': 'off', // the only server is this one, at /
		'no-ambiguous-paths': 'off', // /vms/actions beside /vms/{id}: the router takes the literal one
	},
});
const problems = await lintFromString({ source: readFileSync(file, 'utf8'), absoluteRef: file, config });
for (const p of problems.slice(0, 200)) {
	const at = p.location?.[0]?.pointer ?? '';
	console.error(`${p.severity}: ${p.ruleId}: ${p.message} ${at}`);
}
if (problems.length > 0) {
	console.error(`${problems.length} problems in ${file}`);
	process.exit(1);
}
