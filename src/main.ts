import { mainStep } from './main-step';
import { runStep } from './runner/lifecycle';

runStep(mainStep);
