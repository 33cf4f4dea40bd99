"""The parts of conformance/autobahn/run that know the suite. Python 2.7, which the suite needs.

    suite.py deal REPORTS URL JOBS PATTERNS    deals the cases out: REPORTS/shard-*/spec.json
    suite.py judge REPORTS EXPECTED [--update]  merges the shards' results, compares them with EXPECTED
"""

from __future__ import print_function

import glob
import json
import os
import shutil
import sys

from autobahntestsuite.case import CaseBasename, CaseCategories, Cases, CaseSetname, CaseSubCategories
from autobahntestsuite.caseset import CaseSet
from autobahntestsuite.fuzzing import FuzzingFactory

AGENT = 'volador'
# INFORMATIONAL: the suite asks nothing of these cases, it only reports what a server does.
ALLOWED = ('OK', 'INFORMATIONAL')
CASES = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)


def by_number(case_id):
    return [int(number) for number in case_id.split('.')]


def choose(patterns):
    """`default` is sections 1 to 10 and every tenth case of 12 and 13 (compression), `*` all; else ids and `9.*`."""
    if patterns != 'default':
        return CASES.parseSpecCases({'cases': patterns.split(','), 'exclude-cases': []})
    every = CASES.parseSpecCases({'cases': ['*'], 'exclude-cases': []})
    compression = [case_id for case_id in every if by_number(case_id)[0] > 10]
    return [case_id for case_id in every if by_number(case_id)[0] <= 10] + compression[::10]


def deal(reports, url, jobs, patterns):
    cases = choose(patterns)
    unknown = [case_id for case_id in cases if case_id not in CASES.CasesById]
    if unknown or not cases:
        sys.exit('autobahn: there is no case ' + ', '.join(unknown or [patterns]))
    # More shards than jobs, as cases take from a millisecond to half a minute: who is done early takes the next one.
    count = 1 if jobs == 1 else min(8 * jobs, (len(cases) + 15) // 16)
    for n in range(count):
        shard = os.path.join(reports, 'shard-%03d' % n)
        os.mkdir(shard)
        with open(shard + '/spec.json', 'w') as spec:
            json.dump({'outdir': shard + '/reports', 'servers': [{'agent': AGENT, 'url': url}],
                       'cases': cases[n::count], 'exclude-cases': [], 'exclude-agent-cases': {}}, spec)


def merge(reports):
    """What was to run and what came of it, by case id. Makes one report of those of the shards."""
    wanted, results = [], {}
    for shard in sorted(glob.glob(reports + '/shard-*')):
        with open(shard + '/spec.json') as spec:
            wanted += json.load(spec)['cases']
        for path in glob.glob(shard + '/reports/%s_case_*' % AGENT):
            shutil.copy(path, reports)
            if path.endswith('.json'):
                with open(path) as result:
                    result = json.load(result)
                results[result['id']] = result
    report = FuzzingFactory(reports)
    report.CaseSet = CASES
    report.agents = {AGENT: results}
    report.createMasterReportHTML(reports)
    report.createMasterReportJSON(reports)
    return wanted, results


def judge(reports, expected_path, update):
    wanted, results = merge(reports)
    with open(expected_path) as file:
        expected = json.load(file)
    found = dict((case_id, [case['behavior'], case['behaviorClose']]) for case_id, case in results.items())

    faults = []
    for case_id in sorted(wanted, key=by_number):
        case = results.get(case_id)
        if case is None:
            faults.append('%s has no result: the server or the client broke' % case_id)
        elif any(behavior not in ALLOWED for behavior in found[case_id]):
            faults.append('%s is %s, its close %s (code %s): %s %s' % (
                (case_id,) + tuple(found[case_id]) + (case['remoteCloseCode'], case['result'], case['resultClose'])))
        elif not update and found[case_id] != expected.get(case_id):
            faults.append('%s is %s, its close %s; expected were %s' % (
                (case_id,) + tuple(found[case_id]) + (', '.join(expected.get(case_id, ['no such case'])),)))

    counts = {}
    for case_id in found:
        verdict = next((word for word in found[case_id] if word != 'OK'), 'OK')
        counts[verdict] = counts.get(verdict, 0) + 1
    print('autobahn: %d of %d cases: %s' % (
        len(wanted), len(CASES.CasesById), ', '.join('%d %s' % (counts[word], word) for word in sorted(counts, reverse=True))))
    for fault in faults:
        print('  ' + fault)
    if update and not faults:
        expected.update(found)
        lines = ['  "%s": ["%s", "%s"]' % ((case_id,) + tuple(expected[case_id]))
                 for case_id in sorted(expected, key=by_number)]
        with open(expected_path, 'w') as file:
            file.write('{\n' + ',\n'.join(lines) + '\n}\n')
    sys.exit(1 if faults else 0)


if __name__ == '__main__':
    if sys.argv[1] == 'deal':
        deal(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    else:
        judge(sys.argv[2], sys.argv[3], '--update' in sys.argv[4:])
