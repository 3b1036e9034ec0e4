"""The reader of the in-kernel tests' reports fires on everything that must count as a failure."""

import ktap

VERDICT = '{"end":"tests","scenario":"test","expected":true,"seed":0,"cpu":0}\n'
GOOD = "KTAP version 1\n1..3\nok 1 KeFirst\n# a second try\nok 2 - KeSecond\nok 3 KeThird # SKIP no x2APIC\n" + VERDICT


def test_a_whole_report_is_believed():
    report = ktap.parse(GOOD)
    assert report.explain() == ""
    assert [tuple(result) for result in report.results] == [
        (True, 1, "KeFirst", "", []), (True, 2, "KeSecond", "", ["a second try"]),
        (True, 3, "KeThird", "SKIP", ["no x2APIC"])]


def test_a_plan_may_come_last():
    assert ktap.parse("KTAP version 1\nok 1 a\n1..1\n" + VERDICT).explain() == ""


def test_firmware_text_before_the_report_is_ignored():
    assert ktap.parse("BdsDxe: starting\n" + GOOD).explain() == ""


def test_lines_of_json_may_stand_between_results():
    assert ktap.parse(GOOD.replace("ok 2", '{"name":"pool","value":3}\nok 2')).explain() == ""


def test_not_ok_is_a_failure_with_its_diagnostics():
    report = ktap.parse(GOOD.replace("# a second try\nok 2", "# KeFoo.c:12: 3 != 4\nnot ok 2"))
    assert [result.name for result in report.failures] == ["KeSecond"]
    assert "3 != 4" in report.explain()


def test_not_ok_is_forgiven_only_where_it_is_announced():
    report = ktap.parse(GOOD.replace("ok 2 - KeSecond", "not ok 2 KeSecond # TODO later"))
    assert report.failures == []


def test_silence_is_a_failure():
    assert "did not start" in ktap.parse("").explain()
    assert "did not start" in ktap.parse(VERDICT).explain()


def test_a_missing_plan_is_a_failure():
    assert "no plan" in ktap.parse(GOOD.replace("1..3\n", "")).explain()


def test_a_missing_result_is_a_failure():
    assert "3 tests planned" in ktap.parse(GOOD.replace("ok 3 KeThird # SKIP no x2APIC\n", "")).explain()


def test_a_surplus_result_is_a_failure():
    assert "4 reported" in ktap.parse(GOOD.replace(VERDICT, "ok 4 KeFourth\n" + VERDICT)).explain()


def test_a_repeated_number_is_a_failure():
    assert "result 1 where 2 was due" in ktap.parse(GOOD.replace("ok 2", "ok 1")).explain()


def test_an_empty_plan_is_a_failure():
    assert "empty plan" in ktap.parse("KTAP version 1\n1..0\n" + VERDICT).explain()


def test_a_second_plan_is_a_failure():
    assert "second plan" in ktap.parse(GOOD.replace("ok 3", "1..3\nok 3")).explain()


def test_a_missing_verdict_is_a_failure():
    assert "no verdict" in ktap.parse(GOOD.replace(VERDICT, "")).explain()


def test_half_a_verdict_is_a_failure():
    assert "no verdict" in ktap.parse(GOOD.replace(VERDICT, VERDICT[:20] + "\n")).explain()


def test_a_bugcheck_in_the_middle_is_a_failure():
    cut = GOOD[:GOOD.index("ok 3")] + ('{"end":"bugcheck","expected":false,"code":"0x0000000A","p":[],'
                                       '"name":"IRQL_NOT_LESS_OR_EQUAL"}\n')
    text = ktap.parse(cut).explain()
    assert "IRQL_NOT_LESS_OR_EQUAL in the middle" in text and "3 tests planned" in text


def test_text_after_the_verdict_is_a_failure():
    assert "after the verdict" in ktap.parse(GOOD + "ok 4 late\n").explain()


def test_totals_that_do_not_add_up_are_a_failure():
    assert ktap.parse(GOOD.replace(VERDICT, "# Totals: pass:2 fail:0 skip:1\n" + VERDICT)).explain() == ""
    assert "totals" in ktap.parse(GOOD.replace(VERDICT, "# Totals: pass:3 fail:0 skip:1\n" + VERDICT)).explain()


def test_stray_text_is_a_failure():
    assert "not KTAP" in ktap.parse(GOOD.replace("ok 2", "hello\nok 2")).explain()


def test_bailing_out_is_a_failure():
    assert "gave up" in ktap.parse(GOOD.replace("ok 2", "Bail out! no memory\nok 2")).explain()


GROUPS = ("KTAP version 1\n1..2\n  KTAP version 1\n  1..2\n  ok 1 raises\n  ok 2 lowers\nok 1 Irql\n"
          "  KTAP version 1\n  1..1\n  ok 1 queues\nok 2 Dpc\n" + VERDICT)


def test_groups_are_read_with_their_members():
    report = ktap.parse(GROUPS)
    assert report.explain() == ""
    assert report.names() == ["Irql/raises", "Irql/lowers", "Irql", "Dpc/queues", "Dpc"]


def test_a_missing_member_of_a_group_is_a_failure():
    assert "2 tests planned" in ktap.parse(GROUPS.replace("  ok 2 lowers\n", "")).explain()


def test_a_failed_member_of_a_group_is_a_failure_even_if_the_group_says_ok():
    report = ktap.parse(GROUPS.replace("  ok 2 lowers", "  not ok 2 lowers"))
    assert [result.name for result in report.failures] == ["Irql/lowers"]
