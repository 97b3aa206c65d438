/** The dialog that asks for a token. */

import { Credentials } from './credentials';
import { element, setText } from './dom';
import { Once } from './once';

export class SignIn {
  private readonly dialog = element<HTMLDialogElement>('sign-in');
  private readonly input = element<HTMLInputElement>('token');
  private readonly button = element<HTMLButtonElement>('change-token');
  private readonly asking = new Once<string | undefined>();
  /** Whether the user has closed the dialog without a token; it then waits for the button. */
  private declined = false;

  /** @param changed called when the user has entered a token after the button was pressed. */
  constructor(
    private readonly credentials: () => Credentials,
    private readonly changed: () => void,
  ) {
    Credentials.ask = (why) => this.ask(why);
    element('sign-in-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.dialog.close('given');
    });
    element('sign-in-cancel').addEventListener('click', () => this.dialog.close(''));
    this.button.addEventListener('click', () => void this.change());
    this.button.hidden = this.credentials().token === undefined;
  }

  private async ask(why: string): Promise<string | undefined> {
    this.button.hidden = false;
    return this.declined ? undefined : this.asking.do(() => this.show(why));
  }

  private async change(): Promise<void> {
    this.declined = false;
    const token = await this.asking.do(() => this.show('Enter another token.'));
    if (token) {
      this.credentials().token = token;
      this.changed();
    }
  }

  private async show(why: string): Promise<string | undefined> {
    setText(element('sign-in-why'), why.charAt(0).toUpperCase() + why.slice(1));
    this.input.value = '';
    this.dialog.returnValue = '';
    this.dialog.showModal();
    await new Promise((resolve) => {
      this.dialog.addEventListener('close', resolve, { once: true });
    });
    const token = this.input.value.trim();
    this.input.value = '';
    const given = this.dialog.returnValue === 'given' && token !== '';
    this.declined = !given;
    return given ? token : undefined;
  }
}
