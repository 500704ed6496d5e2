/**
 * CodeMirror in a shadow root: there it puts its styles into constructed
 * sheets, so the page needs no `unsafe-inline` in its Content-Security-Policy.
 */
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { sql } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState, Prec } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useImperativeHandle, useMemo, useRef } from "react";
import type { ProblemDocument, TableInfo } from "../../api/types";
import { completions } from "./completions";
import { flinkDialect } from "./dialect";

const highlight = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--code-keyword)" },
  { tag: tags.string, color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: [tags.standard(tags.name), tags.function(tags.variableName)], color: "var(--code-function)" },
  { tag: tags.typeName, color: "var(--code-type)" },
  { tag: [tags.lineComment, tags.blockComment], color: "var(--code-comment)" },
  { tag: tags.name, color: "var(--code-field)" },
]);

const look = EditorView.theme({
  "&": { height: "100%", color: "var(--text)", backgroundColor: "transparent", fontSize: "13px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "22px", fontVariantLigatures: "none" },
  ".cm-content": { padding: "8px 0", caretColor: "var(--brand)" },
  ".cm-line": { padding: "0 20px 0 4px" },
  ".cm-gutters": { backgroundColor: "transparent", border: "none", color: "var(--text-3)" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 14px 0 20px", minWidth: "48px" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  ".cm-activeLineGutter": { color: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selected)" },
  ".cm-cursor": { borderLeftColor: "var(--brand)", borderLeftWidth: "2px" },
  ".cm-matchingBracket": { backgroundColor: "var(--brand-soft)", outline: "1px solid var(--brand-line)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--critical-mark)", textUnderlineOffset: "4px" },
  ".cm-tooltip": { border: "1px solid var(--line-strong)", borderRadius: "8px", backgroundColor: "var(--surface-3)", boxShadow: "var(--shadow-3)", color: "var(--text)", overflow: "hidden" },
  ".cm-tooltip-autocomplete > ul": { fontFamily: "var(--font-mono)", fontSize: "12px", maxHeight: "220px" },
  ".cm-tooltip-autocomplete > ul > li": { padding: "3px 10px", lineHeight: "20px" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--selected)", color: "var(--text)" },
  ".cm-completionDetail": { color: "var(--text-3)", fontStyle: "normal", marginLeft: "12px" },
  ".cm-completionMatchedText": { textDecoration: "none", color: "var(--brand-strong)", fontWeight: "600" },
  ".cm-diagnostic": { padding: "8px 12px", borderLeft: "3px solid var(--critical-mark)", fontFamily: "var(--font)", fontSize: "12px", lineHeight: "18px" },
  ".cm-placeholder": { color: "var(--text-3)" },
});

export interface EditorHandle {
  /** The selection if there is one, else the whole text; with where it starts. */
  statement(): { sql: string; from: number };
  insert(text: string): void;
  replace(text: string): void;
  focus(): void;
}

/** `initial` gives the text to begin with, whenever the editor is made. */
export function Editor({ initial, tables, problem, problemFrom, hint, label, onChange, onRun, handle }: { initial: () => string; tables: TableInfo[]; problem: ProblemDocument | null; problemFrom: number; hint: string; label: string; onChange: (text: string) => void; onRun: () => void; handle: React.Ref<EditorHandle> }) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const language = useMemo(() => new Compartment(), []);
  const calls = useRef({ onChange, onRun });
  useEffect(() => {
    calls.current = { onChange, onRun };
  });
  const start = useRef({ initial, hint, label });

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const parent = document.createElement("div");
    parent.style.height = "100%";
    root.append(parent);
    const editor = new EditorView({
      parent,
      root,
      state: EditorState.create({
        doc: start.current.initial(),
        extensions: [
          // Before all others, or ⌘Enter would insert a line.
          Prec.highest(keymap.of([{ key: "Mod-Enter", run: () => { calls.current.onRun(); return true; } }])),
          lineNumbers(),
          highlightActiveLine(),
          highlightActiveLineGutter(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          autocompletion(),
          placeholder(start.current.hint),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": start.current.label, spellcheck: "false", autocapitalize: "off" }),
          keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap, indentWithTab]),
          language.of(sql({ dialect: flinkDialect, upperCaseKeywords: true })),
          syntaxHighlighting(highlight),
          look,
          EditorView.updateListener.of((update) => {
            if (update.docChanged) calls.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = editor;
    return () => {
      view.current = null;
      editor.destroy();
      parent.remove();
    };
  }, [language]);

  useEffect(() => {
    view.current?.dispatch({ effects: language.reconfigure(sql({ dialect: flinkDialect, upperCaseKeywords: true, ...completions(tables) })) });
  }, [tables, language]);

  useEffect(() => {
    const editor = view.current;
    if (!editor) return;
    editor.dispatch(setDiagnostics(editor.state, problem?.line ? [diagnostic(editor.state, problem, problemFrom)] : []));
  }, [problem, problemFrom]);

  useImperativeHandle(handle, () => ({
    statement: () => {
      const editor = view.current;
      if (!editor) return { sql: "", from: 0 };
      const { from, to, empty } = editor.state.selection.main;
      return empty ? { sql: editor.state.doc.toString(), from: 0 } : { sql: editor.state.sliceDoc(from, to), from };
    },
    insert: (text) => {
      const editor = view.current;
      if (!editor) return;
      editor.dispatch(editor.state.replaceSelection(text));
      editor.focus();
    },
    replace: (text) => {
      const editor = view.current;
      if (!editor) return;
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text }, selection: { anchor: text.length } });
      editor.focus();
    },
    focus: () => view.current?.focus(),
  }));

  return <div ref={host} className="editor" data-testid="editor" />;
}

/** The word at the server's line and column, counted from where the sent text began. */
function diagnostic(state: EditorState, problem: ProblemDocument, from: number): Diagnostic {
  const first = state.doc.lineAt(Math.min(from, state.doc.length));
  const number = Math.min(state.doc.lines, first.number + (problem.line ?? 1) - 1);
  const line = state.doc.line(number);
  const shift = number === first.number ? from - first.from : 0;
  const start = Math.min(line.to, line.from + shift + Math.max(0, (problem.column ?? 1) - 1));
  const word = /^[\w$`']+/.exec(state.sliceDoc(start, line.to))?.[0].length ?? 1;
  const end = Math.min(state.doc.length, start + Math.max(1, word));
  return {
    from: Math.min(start, end),
    to: end,
    severity: "error",
    message: [problem.title, problem.detail, problem.hint].filter(Boolean).join("\n"),
  };
}
