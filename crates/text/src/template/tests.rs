use super::*;

fn user(content: &str) -> Message {
    Message::new(Role::User, content)
}

fn rendered(
    source: &str,
    messages: &[Message],
    add_generation_prompt: bool,
) -> Result<String, TextError> {
    let conversation = Conversation {
        messages,
        add_generation_prompt,
        now: None,
    };
    ChatTemplate::new(source)?.render(&conversation, "<s>", "</s>")
}

/// The text of an expression or statements without a conversation.
fn run(source: &str) -> String {
    rendered(source, &[], false).unwrap_or_else(|e| panic!("{source}: {e}"))
}

fn failure(source: &str) -> (Option<usize>, String) {
    match rendered(source, &[user("hi")], false) {
        Err(TextError::Template { line, reason }) => (line, reason),
        other => panic!("{other:?}"),
    }
}

fn turns() -> Vec<Message> {
    vec![
        Message::new(Role::System, "Be brief."),
        user(" Hi "),
        Message::new(Role::Assistant, "Hello."),
        user("Bye"),
    ]
}

const CHATML: &str = "{%- for m in messages %}
    {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}";

#[test]
fn renders_chatml() {
    assert_eq!(
        rendered(CHATML, &turns(), true).unwrap(),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n\
         <|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(rendered(CHATML, &[], false).unwrap(), "");
}

#[test]
fn renders_qwen_with_a_system_message_of_its_own() {
    let source = "{%- if messages[0]['role'] == 'system' %}
{{- '<|im_start|>system\\n' ~ messages[0]['content'] ~ '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if (message.role == 'user') or (message.role == 'system' and not loop.first) or (message.role == 'assistant' and not message.tool_calls) %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
";
    assert_eq!(
        rendered(source, &[user("Hi")], true).unwrap(),
        "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(
        rendered(source, &turns()[..2], false).unwrap(),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n"
    );
}

const LLAMA_2: &str = "{% if messages[0]['role'] == 'system' %}
{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}
{% else %}
{% set rest = messages %}{% set system = false %}
{% endif %}
{% for message in rest %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('roles must take turns: user, assistant, user, ...') }}
{% endif %}
{% if loop.first and system is not false %}
{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}
{% else %}
{% set content = message['content'] %}
{% endif %}
{% if message['role'] == 'user' %}
{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' -}}
{% elif message['role'] == 'assistant' %}
{{ ' ' + content.strip() + ' ' + eos_token -}}
{% endif %}
{% endfor %}
";

#[test]
fn renders_llama_2_and_raises_in_its_words() {
    assert_eq!(
        rendered(LLAMA_2, &turns(), false).unwrap(),
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n Hi [/INST] Hello. </s><s>[INST] Bye [/INST]"
    );
    let twice = rendered(LLAMA_2, &[user("a"), user("b")], false).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "chat template, line 8: roles must take turns: user, assistant, user, ..."
    );
}

#[test]
fn renders_llama_3_headers_and_a_date() {
    let source = "{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now('%d %b %Y') %}
    {%- else %}{%- set date_string = '26 Jul 2024' %}{%- endif %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday: ' + date_string + '<|eot_id|>' }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
";
    let want = |date: &str| {
        format!(
            "<s><|start_header_id|>system<|end_header_id|>\n\nToday: {date}<|eot_id|>\
             <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        )
    };
    let messages = [user(" Hi ")];
    assert_eq!(
        rendered(source, &messages, true).unwrap(),
        want("26 Jul 2024")
    );
    let conversation = Conversation {
        messages: &messages,
        add_generation_prompt: true,
        now: Some(DateTime::from_unix(1_795_696_496)),
    };
    let text = ChatTemplate::new(source)
        .unwrap()
        .render(&conversation, "<s>", "</s>");
    assert_eq!(text.unwrap(), want("26 Nov 2026"));
}

#[test]
fn renders_mistral_with_the_system_message_in_the_last_turn() {
    let source = "{%- set ns = namespace(system='') %}
{%- if messages[0].role == 'system' %}{%- set ns.system = messages[0].content %}{%- set messages = messages[1:] %}{%- endif %}
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- if loop.last and ns.system %}{{- '[INST] ' ~ ns.system ~ '\\n\\n' ~ message.content ~ '[/INST]' }}
        {%- else %}{{- '[INST] ' ~ message.content ~ '[/INST]' }}{%- endif %}
    {%- elif message.role in ['assistant'] %}
        {%- generation %}{{- ' ' ~ message.content|trim ~ eos_token }}{%- endgeneration %}
    {%- endif %}
{%- endfor %}";
    assert_eq!(
        rendered(source, &turns(), false).unwrap(),
        "<s>[INST]  Hi [/INST] Hello.</s>[INST] Be brief.\n\nBye[/INST]"
    );
}

#[test]
fn speaks_the_dialect() {
    for (source, want) in [
        (
            "{{ ' a '.strip() ~ '|' ~ 'xay'.strip('xy') ~ '|' ~ 'a,b'.split(',')[-1] }}",
            "a|a|b",
        ),
        (
            "{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith('x') }}",
            "True False",
        ),
        (
            "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}",
            "a=1;b=2;",
        ),
        (
            "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "02",
        ),
        (
            "{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
            "3",
        ),
        (
            "{% macro f(x, y='!') %}{{ x }}{{ y }}{% endmacro %}{{ f('a') }}{{ f('b', y='?') }}",
            "a!b?",
        ),
        (
            "{{ x is defined }} {{ tools is none }} {{ tools is defined }} {{ x }}",
            "False True True ",
        ),
        (
            "{{ {'b': [1, 2.5, none, true], 'a': '<é\"\\n>'} | tojson }}",
            "{\"b\": [1, 2.5, null, true], \"a\": \"<é\\\"\\n>\"}",
        ),
        (
            "{{ {'a': [1], 'b': [], 'c': {}} | tojson(indent=2) }}",
            "{\n  \"a\": [\n    1\n  ],\n  \"b\": [],\n  \"c\": {}\n}",
        ),
        (
            "{{ [3, 1, 2] | sort | join(',') }} {{ [1, 2] | length }} {{ 'a' if false else 'b' }}",
            "1,2,3 2 b",
        ),
        (
            "{{ [{'r': 'x'}, {'r': 'y'}] | selectattr('r', 'equalto', 'y') | map(attribute='r') | list | first }}",
            "y",
        ),
        ("{{ [1, 2, 3][::-1] | string }}", "[3, 2, 1]"),
        ("{{ 'a' in 'cat' and 'b' not in ['a'] }}", "True"),
        ("  {% if true %}\n x\n  {% endif %}\n", " x\n"),
        ("{%- generation -%} a {%- endgeneration %}b{# gone #}", "ab"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        (
            "{% set a %}x{% endset %}{{ a | upper }}{{ '%s-%d' | format('a', 3) }}",
            "Xa-3",
        ),
        (
            "{% for m in [1, 2] recursive %}{{ loop.previtem }}{{ loop.nextitem }}{% endfor %}",
            "21",
        ),
        ("{{ '<&>' }}", "<&>"),
        (
            "{{ 1 + 2 * 3 }} {{ 1.5 + 1 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ 2 ** 3 }} {{ -3 + 1 }} {{ 'ab' * 2 }}",
            "7 2.5 3 3 8 -2 abab",
        ),
        (
            "{{ [1] + [2, 'a'] }} {{ [0] * 3 }} {{ 'abc'[1:] }} {{ 'abc'[-1] }} {{ [1, 2, 3][:-1] }}",
            "[1, 2, 'a'] [0, 0, 0] bc c [1, 2]",
        ),
        (
            "{{ 1 < 2 and 'a' != 'b' and 2 >= 2 and 'a' <= 'b' and not 3 > 4 }}",
            "True",
        ),
        (
            "{{ {'a': 1}['a'] }} {{ 'a' in {'a': 1} }} {{ 1 in [1, 2] }} {{ {'b': {'c': [1]}}.b.c[0] }}",
            "1 True True 1",
        ),
        (
            "{{ x is not defined and none is none and 'a' is string and {} is mapping and 3 is odd }}",
            "True",
        ),
        (
            "{% for k, v in {'b': 1, 'a': 2} | items %}{{ k }}{{ v }}{% endfor %}{{ dict(a=1).get('a') }}",
            "b1a21",
        ),
        (
            "{{ ['b', 'a'] | sort | join(', ') }}{{ [1, 1, 2] | unique | list }}{{ [3, 1] | min }}",
            "a, b[1, 2]1",
        ),
        (
            "{{ x or 'y' }}{{ (1, 2)[0] }}{{ [[1, 2], [3]] | map('length') | list }}{{ 'a-b' | replace('-', '+') }}",
            "y1[2, 1]a+b",
        ),
        (
            "{% set a, b = [1, 2] %}{{ a ~ b }}{{ messages | length }}{{ none ~ '' }}{{ none is iterable }}",
            "120NoneFalse",
        ),
    ] {
        assert_eq!(run(source), want, "{source}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    let (line, reason) = failure("a\n{% if %}\n");
    assert_eq!(line, Some(2), "{reason}");
    let (line, reason) = failure("a\n\n{{ messages[0].content.frobnicate() }}");
    assert_eq!(line, Some(3));
    assert!(reason.contains("frobnicate"), "{reason}");
    let (line, reason) = failure("{{ nothing.at.all }}");
    assert_eq!(line, Some(1), "{reason}");
    assert_eq!(
        failure("\n{{ raise_exception('no') }}"),
        (Some(2), "no".into())
    );
    let (_, reason) = failure("{% include 'other' %}");
    assert!(!reason.is_empty());
}

#[test]
fn hostile_templates_end() {
    for source in [
        // time
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{{ range(10**9) | length }}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for m in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
        "{% set ns = namespace(n=0) %}{% for i in range(100000) %}{% set ns.n = ns.n + (range(100000) | sum) %}{% endfor %}",
        "{% for i in range(100000) %}{% set x = range(100000) | sort | list %}{% endfor %}",
        // memory
        "{% set ns = namespace(s='aa') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(99) %}{% set ns.s = ns.s.replace('a', 'aaaa') %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(99) %}{% set ns.s = ns.s | replace('a', 'aaaa') %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] | join(ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(99) %}{% set x %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = x %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(99) %}{% set ns.s = ns.s | format | string * 2 %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ [0] * 1000000000 }}",
        "{{ ('a' * 100000) | indent(1000000000) }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ '%1000000000s' | format('a') }}",
        "{{ '{:1000000000}'.format('a') }}",
        "{{ [1] | batch(1000000000, 'x') | list }}",
        "{{ messages | tojson(indent=1000000000) }}",
        "{{ 10 ** 10 ** 10 }}",
        // lists that hold one list twice, and so on
        "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l | length }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l * 2 %}{% endfor %}{{ ns.l | length }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [*ns.l, *ns.l] %}{% endfor %}{{ ns.l | length }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l | chain(ns.l) %}{% endfor %}{{ ns.l | length }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = ns.l[0:] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace() %}{% set ns.n = ns %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.n = [ns] %}{{ ns.n == [ns] }}",
        // output
        "{% for a in range(100000) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' * 10 }}{% endfor %}",
    ] {
        let result = rendered(source, &[user("hi")], false);
        assert!(result.is_err(), "{source}: {:?}", result.map(|t| t.len()));
    }
}

/// Every way to look through a value that is small and yet, looked through, larger than the world.
#[test]
fn folded_values_do_not_take_forever() {
    for fold in [
        "[ns.l, ns.l]",
        "(ns.l, ns.l)",
        "{'a': ns.l, 'b': ns.l}",
        "dict(a=ns.l, b=ns.l)",
        "namespace(a=ns.l, b=ns.l)",
        "[ns.l] | zip([ns.l])",
        "[ns.l, ns.l] | batch(2)",
    ] {
        for look in [
            "{{ ns.l }}",
            "{{ ns.l == ns.m }}",
            "{{ ns.l != ns.m }}",
            "{{ ns.l < ns.m }}",
            "{{ ns.l in [ns.m] }}",
            "{{ ns.l not in [ns.m] }}",
            "{{ [ns.l].count(ns.m) }}",
            "{{ [ns.l, ns.m] | unique | length }}",
            "{{ [ns.l, ns.m] | sort | length }}",
            "{{ [ns.l, ns.m] | max }}",
            "{{ ns.l ~ '' }}",
            "{{ [ns.l] | join }}",
            "{{ ','.join([ns.l]) }}",
            "{{ '%s' | format(ns.l) }}",
            "{{ '{}'.format(ns.l) }}",
            "{{ ns.l | string }}",
            "{{ ns.l | upper }}",
            "{{ ns.l | tojson }}",
            "{{ {ns.l: 1} }}",
            "{{ {'a': 1}[ns.l] }}",
            "{{ {'a': 1}.get(ns.l) }}",
            "{{ ns.l in {'a': 1} }}",
            "{{ ns.l in 'abc' }}",
            "{{ ns.l is eq ns.m }}",
            "{{ ns.l is in [ns.m] }}",
            "{{ [ns.l] | select('eq', ns.m) | list }}",
            "{{ [{'a': ns.l}] | selectattr('a', 'eq', ns.m) | list }}",
            "{{ [{'a': ns.l}] | groupby('a') }}",
            "{{ [ns.l] | map('string') | list }}",
            "{{ dict([(ns.l, 1)]) }}",
            "{{ [{'a': ns.l}, {'a': ns.m}] | sort(attribute='a') }}",
            "{{ [{'a': ns.l}, {'a': ns.m}] | unique(attribute='a') }}",
            "{{ {'a': ns.l, 'b': ns.m} | dictsort(by='value') }}",
            "{{ raise_exception(ns.l) }}",
            "{{ 'a' | replace(ns.l, ns.m) }}",
            "{{ ns.l - ns.m }}",
            "{{ ns.l | int }}",
            "{{ ns.l | abs }}",
            "{{ range(ns.l) }}",
            "{{ ns.l | sum }}",
            "{{ 'a'[ns.l:] }}",
            "{{ ns.l | default(ns.m) }}",
            "{{ ns.l | first | length }}",
            "{% for x in ns.l %}{{ x }}{% endfor %}",
            "{% for x in ns.l recursive %}{{ loop(x) }}{% endfor %}",
            "{% set a, b = ns.l %}{{ a }}",
            "{{ ns.l.a }}",
            "{{ ns.l() }}",
            "{{ ns.l.frob() }}",
            "{{ ns.l | frob }}",
            "{{ ns.l is frob }}",
            "{{ -ns.l }}",
            "{{ ns.l ** 2 }}",
            "{{ ns.l % ns.m }}",
            "{{ '%s' % ns.l }}",
            "{{ ns.l // 2 }}",
            "{% if ns.l %}{% endif %}",
            "{% filter upper %}{{ ns.l }}{% endfilter %}",
            "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(ns.l) }}",
            "{{ ns }}",
            "{{ ns.l | items }}",
            "{{ ns.l | attr('a') }}",
        ] {
            let source = format!(
                "{{% set ns = namespace(l=[1], m=[1]) %}}{{% for i in range(60) %}}{{% set ns.l = {fold} %}}{{% endfor %}}\
                 {{% for i in range(60) %}}{{% set ns.m = {} %}}{{% endfor %}}{look}",
                fold.replace("ns.l", "ns.m")
            );
            let _ = rendered(&source, &[], false);
        }
    }
}

#[test]
fn hostile_templates_do_not_exhaust_the_stack() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("not ", ""),
        ("-", ""),
        ("{'a':", "}"),
        ("1+", ""),
        ("a.", "b"),
        ("f(", ")"),
    ] {
        let n = 100_000;
        let source = format!("{{{{ {}1{} }}}}", open.repeat(n), close.repeat(n));
        let _ = rendered(&source, &[user("hi")], false);
    }
    let blocks = format!(
        "{}x{}",
        "{% if true %}".repeat(20_000),
        "{% endif %}".repeat(20_000)
    );
    let _ = rendered(&blocks, &[], false);
    let filters = format!("{{{{ 'a'{} }}}}", "|trim".repeat(100_000));
    let _ = rendered(&filters, &[], false);
    // values as deep as the fuel goes
    for step in [
        "[ns.l]",
        "{'a': ns.l}",
        "[ns.l] + [1]",
        "namespace(x=ns.l)",
        "ns.l.items() if false else [ns.l]",
    ] {
        for end in [
            "",
            "{{ ns.l }}",
            "{{ ns.l == ns.l }}",
            "{{ ns.l | tojson }}",
            "{{ [ns.l, ns.l] | sort }}",
        ] {
            let source = format!(
                "{{% set ns = namespace(l=[1]) %}}{{% for i in range(100000) %}}{{% set ns.l = {step} %}}{{% endfor %}}{end}"
            );
            let _ = rendered(&source, &[], false);
        }
    }
}

#[test]
fn conversations_have_limits() {
    let many = vec![user("a"); MAX_MESSAGES + 1];
    assert!(matches!(
        rendered("x", &many, false),
        Err(TextError::Conversation(_))
    ));
    let long = [user(&"a".repeat(MAX_TEXT + 1))];
    assert!(matches!(
        rendered("x", &long, false),
        Err(TextError::Conversation(_))
    ));
    // what is allowed is rendered, however long
    let long: Vec<Message> = (0..1000).map(|_| user(&"word ".repeat(800))).collect();
    assert!(rendered(CHATML, &long, true).unwrap().len() > 4_000_000);
    let short = vec![user("a"); MAX_MESSAGES];
    assert!(rendered(CHATML, &short, true).is_ok());
    assert!(ChatTemplate::new(&" ".repeat(MAX_TEMPLATE + 1)).is_err());
}
