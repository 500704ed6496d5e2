/** Drawers lie beside the list; dialogs only for what cannot be undone. */
import { type ReactNode, useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "./parts";

export function Drawer({ title, note, actions, onClose, children }: { title: ReactNode; note?: ReactNode; actions?: ReactNode; onClose: () => void; children: ReactNode }) {
  const { t } = useTranslation();
  return (
    <aside className="drawer">
      <header className="drawer-head">
        <b className="mono ell">{title}</b>
        {note && <span className="faint nowrap">{note}</span>}
        <span className="grow" />
        {actions}
        <Button kind="ghost" icon="close" aria-label={t("action.close")} title="Esc" onClick={onClose} />
      </header>
      {children}
    </aside>
  );
}

/** What has the focus, inside the editor's shadow root too. */
function focused(): HTMLElement | null {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return element instanceof HTMLElement && element !== document.body ? element : null;
}

export function Dialog({ title, children, actions, onClose }: { title: ReactNode; children: ReactNode; actions: ReactNode; onClose: () => void }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog || dialog.open) return;
    const before = focused();
    dialog.showModal();
    // Where Enter must not do what cannot be undone.
    dialog.querySelector<HTMLElement>("[data-autofocus]")?.focus({ preventScroll: true });
    // The element is removed, not closed: where one was before is ours to remember.
    return () => before?.focus();
  }, []);
  return (
    <dialog
      ref={ref}
      className="dialog"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === ref.current) onClose();
      }}
    >
      <div className="dialog-body">
        <h2>{title}</h2>
        {children}
        <div className="flex wrap dialog-actions">{actions}</div>
      </div>
    </dialog>
  );
}
